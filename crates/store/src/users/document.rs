//! A user as it stands in the database, written by us or by chai-backend.

use bson::oid::ObjectId;
use bson::{Bson, DateTime};
use messages::{AssetId, FileId, JobId, UserId};
use serde::Deserialize;
use serde_with::serde_as;

use super::{AdminRole, Failure, Image, User, normalised};
use crate::codec::AssetObjectId;

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
    pub steep: Option<SteepDocument>,
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
    /// The name of a role, of this version or another.
    admin: Option<Bson>,
}

#[derive(Default, Deserialize)]
pub(crate) struct ImageDocument {
    /// The highest number given to an upload.
    #[serde(default)]
    pub seq: i64,
    pub pending: Option<PendingDocument>,
    pub current: Option<CurrentDocument>,
    /// The last one that failed. Versions before this one do not note it, and keep it.
    failed: Option<Box<FailedDocument>>,
}

/// The newest upload, not yet ready, with what it takes to supersede it.
#[serde_as]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PendingDocument {
    #[serde_as(as = "AssetObjectId")]
    pub asset: AssetId,
    pub job: JobId,
    pub file: Option<FileId>,
    content_type: Option<String>,
}

/// The upload that is shown.
#[serde_as]
#[derive(Deserialize)]
pub(crate) struct CurrentDocument {
    #[serde_as(as = "AssetObjectId")]
    pub asset: AssetId,
    #[serde(default)]
    seq: i64,
    /// It was rejected at the media host: nothing is shown in its place.
    #[serde(default)]
    pub hidden: bool,
}

#[derive(Deserialize)]
struct FailedDocument {
    seq: i64,
    reason: String,
    code: String,
}

impl ImageDocument {
    /// Why the newest upload failed, unless it has been redriven since.
    fn take_failure(&mut self) -> Option<Box<Failure>> {
        let is_shown = |seq| self.current.as_ref().is_some_and(|current| current.seq >= seq && !current.hidden);
        let failed = self.failed.take().filter(|failed| failed.seq == self.seq && !is_shown(failed.seq))?;
        self.pending.is_none().then(|| Box::new(Failure { reason: failed.reason, code: failed.code }))
    }
}

impl UserDocument {
    /// The sessions that are live.
    pub(crate) fn take_sessions(&mut self) -> Vec<ObjectId> {
        self.steep.as_mut().and_then(|steep| steep.sessions.take()).unwrap_or_default()
    }

    /// Whether that is the user's name, in whichever spelling.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.username.as_deref().is_some_and(|username| username == name || username == normalised(name))
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
            admin: AdminRole::read(steep.admin.as_ref()),
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
        // Descendants of chai-backend keep {url, public_id}.
        Some(Bson::Document(image)) => image.get_str("url").unwrap_or_default().to_owned(),
        _ => String::new(),
    };
    let mut ours = ours.unwrap_or_default();
    let failed = ours.take_failure();
    let (pending, content_type) = match ours.pending {
        Some(pending) => (Some(pending.asset), pending.content_type),
        None => (None, None),
    };
    Image { url, pending, content_type, failed }
}

fn hex(id: Bson) -> Option<String> {
    match id {
        Bson::ObjectId(id) => Some(id.to_hex()),
        Bson::String(id) => Some(id),
        _ => None,
    }
}
