//! Documents as they stand in the database, and what they are read into.

use bson::oid::ObjectId;
use bson::{Bson, DateTime, RawDocument, RawDocumentBuf};
use messages::{AssetId, FileId, JobId, SessionId, SpoolId, UserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::channel::AggregatesDocument;
use crate::progress::ProgressDocument;
use crate::{
    Asset, AssetState, Attempt, AttemptOutcome, Error, Image, JobRecord, JobState, MediaType, ResourceType, Role,
    Spooled, StoredMedia, User, normalised,
};

/// Decodes a document. `what` names it in [`Error::Corrupt`].
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, document: &RawDocument) -> Result<T, Error> {
    bson::deserialize_from_slice(document.as_bytes()).map_err(|cause| {
        let id = match document.get("_id") {
            Ok(Some(id)) => id.as_object_id().map_or_else(
                || id.as_str().map_or_else(|| "of an unexpected type".to_owned(), str::to_owned),
                |id| id.to_hex(),
            ),
            _ => "without an id".to_owned(),
        };
        Error::Corrupt { what, id, cause: cause.into() }
    })
}

/// Encodes a document of ours, which cannot fail but for a number beyond 64 bits.
pub(crate) fn encode<T: Serialize>(document: &T) -> Result<RawDocumentBuf, Error> {
    bson::serialize_to_raw_document_buf(document).map_err(|cause| Error::Database(cause.into()))
}

pub(crate) fn object_id(bytes: [u8; 12]) -> ObjectId {
    ObjectId::from_bytes(bytes)
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobDocument {
    #[serde(rename = "_id")]
    pub id: JobId,
    pub kind: String,
    pub data: Value,
    pub queue: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<ObjectId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<ObjectId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ObjectId>,
    pub state: JobState,
    pub attempt: u32,
    pub failures: u32,
    pub crashes: u32,
    pub max_attempts: u32,
    pub run_at: DateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<DateTime>,
    pub attempts: Vec<AttemptDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<ProgressDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default)]
    pub replayable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    pub created_at: DateTime,
    pub updated_at: DateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptDocument {
    pub number: u32,
    pub worker: String,
    pub started_at: DateTime,
    #[serde(default)]
    pub ended_at: Option<DateTime>,
    #[serde(default)]
    pub outcome: Option<AttemptOutcome>,
    #[serde(default)]
    pub error: Option<String>,
}

impl From<JobDocument> for JobRecord {
    fn from(job: JobDocument) -> Self {
        Self {
            id: job.id,
            kind: job.kind,
            data: job.data,
            queue: job.queue,
            owner: job.owner.map(|id| UserId::from_bytes(id.bytes())),
            asset: job.asset.map(|id| AssetId::from_bytes(id.bytes())),
            state: job.state,
            attempt: job.attempt,
            failures: job.failures,
            crashes: job.crashes,
            max_attempts: job.max_attempts,
            run_at: job.run_at.into(),
            worker: job.worker,
            lease_until: job.lease_until.map(Into::into),
            attempts: job.attempts.into_iter().map(Into::into).collect(),
            upload: job.upload.map(Into::into),
            reason: job.reason,
            replayable: job.replayable,
            traceparent: job.traceparent,
            request_id: job.request_id,
            created_at: job.created_at.into(),
            updated_at: job.updated_at.into(),
            finished_at: job.finished_at.map(Into::into),
        }
    }
}

impl From<AttemptDocument> for Attempt {
    fn from(attempt: AttemptDocument) -> Self {
        Self {
            number: attempt.number,
            worker: attempt.worker,
            started_at: attempt.started_at.into(),
            ended_at: attempt.ended_at.map(Into::into),
            outcome: attempt.outcome,
            error: attempt.error,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssetDocument {
    #[serde(rename = "_id")]
    pub id: ObjectId,
    pub owner: ObjectId,
    pub role: Role,
    pub seq: i64,
    pub state: AssetState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<SpoolDocument>,
    pub content_type: String,
    pub resource_type: ResourceType,
    pub bytes: u64,
    pub md5: String,
    pub original_name: String,
    pub public_id: String,
    /// What lies at the media host under that name is being deleted: another upload takes another name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub name_spent: bool,
    pub job: JobId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredMedia>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub created_at: DateTime,
    pub updated_at: DateTime,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SpoolDocument {
    pub id: SpoolId,
    pub file: FileId,
}

impl AssetDocument {
    pub(crate) fn id(&self) -> AssetId {
        AssetId::from_bytes(self.id.bytes())
    }

    pub(crate) fn owner(&self) -> UserId {
        UserId::from_bytes(self.owner.bytes())
    }
}

impl From<AssetDocument> for Asset {
    fn from(asset: AssetDocument) -> Self {
        Self {
            id: asset.id(),
            owner: asset.owner(),
            role: asset.role,
            seq: asset.seq,
            state: asset.state,
            spooled: asset.spool.map(|spool| Spooled { spool: spool.id, file: spool.file }),
            media_type: MediaType { content_type: asset.content_type, resource_type: asset.resource_type },
            bytes: asset.bytes,
            md5: asset.md5,
            original_name: asset.original_name,
            public_id: asset.public_id,
            job: asset.job,
            stored: asset.stored,
            reason: asset.reason,
            created_at: asset.created_at.into(),
            updated_at: asset.updated_at.into(),
        }
    }
}

/// A user as adopted or as ours. Anything may be missing or null.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserDocument {
    #[serde(rename = "_id")]
    pub id: ObjectId,
    username: Option<String>,
    email: Option<String>,
    full_name: Option<String>,
    avatar: Option<Bson>,
    cover_image: Option<Bson>,
    watch_history: Option<Vec<Bson>>,
    pub password: Option<String>,
    created_at: Option<DateTime>,
    updated_at: Option<DateTime>,
    steep: Option<SteepDocument>,
}

/// What we keep about a user beside the adopted fields.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SteepDocument {
    pub avatar: Option<ImageDocument>,
    pub cover_image: Option<ImageDocument>,
    /// The sessions that are live. Some of them may be too old; then their documents are gone.
    pub sessions: Option<Vec<ObjectId>>,
    /// How often the password was changed.
    pub password_version: Option<i64>,
    pub aggregates: Option<AggregatesDocument>,
}

#[derive(Default, Deserialize)]
pub(crate) struct ImageDocument {
    /// The highest number given to an upload.
    #[serde(default)]
    pub seq: i64,
    pub pending: Option<PendingDocument>,
    pub current: Option<CurrentDocument>,
}

/// The newest upload, not yet ready, with what it takes to supersede it.
#[derive(Deserialize)]
pub(crate) struct PendingDocument {
    pub asset: ObjectId,
    pub job: JobId,
    pub file: Option<FileId>,
}

/// The upload that is shown.
#[derive(Deserialize)]
pub(crate) struct CurrentDocument {
    pub asset: ObjectId,
}

impl UserDocument {
    /// Whether a session of the user is live.
    pub(crate) fn has_session(&self, session: SessionId) -> bool {
        let id = object_id(session.bytes());
        self.steep.as_ref().and_then(|steep| steep.sessions.as_ref()).is_some_and(|sessions| sessions.contains(&id))
    }

    /// The sessions that are live.
    pub(crate) fn take_sessions(&mut self) -> Vec<ObjectId> {
        self.steep.as_mut().and_then(|steep| steep.sessions.take()).unwrap_or_default()
    }

    /// How often the password was changed.
    pub(crate) fn password_version(&self) -> Option<i64> {
        self.steep.as_ref().and_then(|steep| steep.password_version)
    }

    /// What we keep about an image.
    pub(crate) fn take_image(&mut self, role: Role) -> ImageDocument {
        let Some(steep) = &mut self.steep else { return ImageDocument::default() };
        let image = match role {
            Role::Avatar => steep.avatar.take(),
            Role::CoverImage => steep.cover_image.take(),
            Role::Media => None,
        };
        image.unwrap_or_default()
    }
}

impl UserDocument {
    /// Whether that is the user's name, in whichever spelling.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.username.as_deref().is_some_and(|username| username == name || username == normalised(name))
    }

    /// What is counted of the user.
    pub(crate) fn take_aggregates(&mut self) -> Option<AggregatesDocument> {
        self.steep.as_mut()?.aggregates.take()
    }
}

impl From<UserDocument> for User {
    fn from(user: UserDocument) -> Self {
        let created_at = user.created_at.unwrap_or(DateTime::from_millis(0));
        let steep = user.steep.unwrap_or_default();
        Self {
            id: UserId::from_bytes(user.id.bytes()),
            username: user.username.unwrap_or_default(),
            email: user.email.unwrap_or_default(),
            full_name: user.full_name.unwrap_or_default(),
            avatar: image(user.avatar, steep.avatar),
            cover_image: image(user.cover_image, steep.cover_image),
            watch_history: user.watch_history.unwrap_or_default().into_iter().filter_map(hex).collect(),
            created_at: created_at.into(),
            updated_at: user.updated_at.unwrap_or(created_at).into(),
        }
    }
}

fn image(url: Option<Bson>, ours: Option<ImageDocument>) -> Image {
    let url = match url {
        Some(Bson::String(url)) => url,
        // Descendants of the system that Steep replaces keep {url, public_id}.
        Some(Bson::Document(image)) => image.get_str("url").unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let pending = ours.and_then(|ours| ours.pending).map(|pending| AssetId::from_bytes(pending.asset.bytes()));
    Image { url, pending }
}

fn hex(id: Bson) -> Option<String> {
    match id {
        Bson::ObjectId(id) => Some(id.to_hex()),
        Bson::String(id) => Some(id),
        _ => None,
    }
}
