//! Assets: uploaded files and what became of them.

mod cancel;
mod deletions;
mod images;
mod notified;
pub(crate) mod redrive;
mod settle;
mod submit;

use std::collections::HashSet;
use std::fmt;

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use messages::{AssetId, FileId, JobId, SpoolId, UserId};
use mongodb::options::ReadConcern;
use serde::{Deserialize, Serialize};
use serde_with::{serde_as, skip_serializing_none};
use time::OffsetDateTime;

use crate::Error;
use crate::batching::Sharing;
use crate::clock::earlier;
use crate::codec::{AssetObjectId, BsonDateTime, UserObjectId, decode, decode_entry, decode_found, object_id};
use crate::connection::{Connection, Documents};
use crate::idempotency::Idempotency;
use crate::indexes::{Wanted, plain, where_present};
use crate::jobs::transitions::DISCARDED_KEPT;
use crate::jobs::{Jobs, UploadSource};
use crate::users::Users;

pub use cancel::{Cancel, CancelRefusal, Cancelled};
pub use notified::{Incarnation, MediaChange, Notice, Noticed};
pub use redrive::{Redrive, Refusal};
pub use settle::{Failed, Published};
pub use submit::{Accepted, NewUpload};

/// The longest page.
const MAX_PAGE: u64 = 100;

/// What an asset is to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// The user's avatar; the newest counts.
    Avatar,
    /// The user's cover image; the newest counts.
    CoverImage,
    Media,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avatar => "avatar",
            Self::CoverImage => "coverImage",
            Self::Media => "media",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The asset's name at Cloudinary: the same for all attempts, so that a repeated upload stores nothing twice. A
/// redriven upload may take another (see [`Media::redrive`]).
pub fn public_id(role: Role, asset: AssetId) -> String {
    format!("steep/{role}/{asset}")
}

/// Where an asset stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssetState {
    /// Accepted, in the spool.
    Pending,
    /// At Cloudinary.
    Ready,
    /// Discarded: the file may still lie in the spool, for a redrive. Or stored, and rejected at the media host. Or cancelled by its owner.
    Failed,
    /// A newer upload took its place before it was ready.
    Superseded,
    /// A newer upload took its place; it is being deleted from Cloudinary.
    Deleting,
    /// No longer at Cloudinary.
    Deleted,
}

impl AssetState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for AssetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Cloudinary's resource type of an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceType {
    Image,
    Video,
}

impl ResourceType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
        }
    }
}

/// What a file is, by its first bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaType {
    /// As in a `Content-Type` header.
    pub content_type: String,
    /// As Cloudinary sorts it.
    pub resource_type: ResourceType,
}

/// Where an asset's file lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spooled {
    #[serde(rename = "id")]
    pub spool: SpoolId,
    pub file: FileId,
}

/// What Cloudinary said about an asset it stored.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredMedia {
    pub url: String,
    pub version: i64,
    /// `asset_id`, Cloudinary's own.
    pub asset_id: String,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Such as `jpg`.
    pub format: Option<String>,
    /// Seconds, of a video.
    pub duration: Option<f64>,
}

/// An uploaded file, as it stands in the database.
#[serde_as]
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asset {
    #[serde(rename = "_id")]
    #[serde_as(as = "AssetObjectId")]
    pub id: AssetId,
    #[serde_as(as = "UserObjectId")]
    pub owner: UserId,
    pub role: Role,
    /// Counts the owner's uploads in this role, from 1: the highest is the newest. 0 for [`Role::Media`].
    pub seq: i64,
    pub state: AssetState,
    /// Its file, exactly as long as the file is needed.
    #[serde(rename = "spool")]
    pub spooled: Option<Spooled>,
    #[serde(flatten)]
    pub media_type: MediaType,
    pub bytes: u64,
    /// MD5 of the file, hexadecimal, of one that a version accepted which took it then. Otherwise empty, because that version
    /// reads no asset without it; the worker takes it while it uploads.
    #[serde(default)]
    pub md5: String,
    /// CRC-32 of the file, by which damage in the spool is noticed. None if there is an MD5.
    pub crc32: Option<u32>,
    /// The file's name at the client. Not to be trusted.
    pub original_name: String,
    pub public_id: String,
    /// What lies at Cloudinary under that name is being deleted: another upload takes another name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) name_spent: bool,
    pub job: JobId,
    /// What Cloudinary said, once it is ready.
    pub stored: Option<StoredMedia>,
    /// Why it failed.
    pub reason: Option<String>,
    /// The same for programs, as in [`DiscardCode`](crate::DiscardCode), or `cancelled`. None if a version before this one recorded it.
    pub code: Option<String>,
    /// What the media host has told of it by itself.
    pub(crate) notices: Option<notified::Notices>,
    #[serde_as(as = "BsonDateTime")]
    pub created_at: OffsetDateTime,
    #[serde_as(as = "BsonDateTime")]
    pub updated_at: OffsetDateTime,
}

impl Asset {
    /// What there is to upload. None when its file is no longer needed, or was released.
    pub fn source(&self) -> Option<UploadSource> {
        Some(UploadSource {
            role: self.role,
            spooled: self.spooled.clone()?,
            media_type: self.media_type.clone(),
            bytes: self.bytes,
            md5: self.md5.clone(),
            crc32: self.crc32,
            original_name: self.original_name.clone(),
            public_id: self.public_id.clone(),
        })
    }

    /// What its owner's document says about an image that is not ready. `seq` may be an expression.
    fn pending(&self, seq: impl Into<Bson>) -> Document {
        let file = self.spooled.as_ref().map(|spooled| spooled.file.to_string());
        doc! {
            "asset": object_id(self.id.bytes()),
            "seq": seq.into(),
            "job": self.job.to_string(),
            "file": file,
            "contentType": &self.media_type.content_type,
        }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The entries, newest first.
    pub items: Vec<T>,
    pub total: u64,
    /// Which part, from 1.
    pub page: u64,
    /// Entries in a part.
    pub limit: u64,
}

/// An asset whose file lies in a spool.
#[derive(Deserialize)]
struct FileDocument {
    #[serde(rename = "_id")]
    id: ObjectId,
    spool: FileOnly,
}

#[derive(Deserialize)]
struct FileOnly {
    file: FileId,
}

#[derive(Debug, Clone)]
pub struct Media {
    connection: Connection,
    jobs: Jobs,
    users: Users,
    idempotency: Idempotency,
    assets: Documents,
    replacements: Sharing<submit::Prepared>,
    submissions: Sharing<submit::Submission>,
}

impl Media {
    pub(crate) fn new(jobs: &Jobs, users: &Users, idempotency: &Idempotency) -> Self {
        Self {
            connection: jobs.connection.clone(),
            jobs: jobs.clone(),
            users: users.clone(),
            idempotency: idempotency.clone(),
            assets: jobs.connection.collection("assets"),
            replacements: Sharing::start(&jobs.connection),
            submissions: Sharing::start(&jobs.connection),
        }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        // Ids are random, so only `createdAt` tells what is newer.
        let newest_first = doc! { "owner": 1, "role": 1, "createdAt": -1, "_id": -1 };
        let indexes = [
            plain(newest_first),
            where_present(doc! { "spool.file": 1 }, "spool.file"),
            // For notices of what was renamed at the media host.
            where_present(doc! { "stored.assetId": 1 }, "stored.assetId"),
        ];
        indexes.map(|index| (self.assets.clone(), index)).into()
    }

    pub async fn find(&self, id: AssetId) -> Result<Option<Asset>, Error> {
        let query = self.assets.find_one(doc! { "_id": object_id(id.bytes()) });
        decode_found("asset", self.connection.bounded(query).await?)
    }

    /// Several, in no order. One that is gone or malformed is left out.
    pub async fn find_all(&self, ids: &[AssetId]) -> Result<Vec<Asset>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<ObjectId> = ids.iter().map(|id| object_id(id.bytes())).collect();
        let found = self.connection.collect(self.assets.find(doc! { "_id": { "$in": ids } })).await?;
        Ok(found.iter().filter_map(|asset| decode_entry("asset", asset)).collect())
    }

    /// A user's uploads of [`Role::Media`], newest first. `page` counts from 1; both numbers are at least 1.
    pub async fn list(&self, owner: UserId, page: u64, limit: u64) -> Result<Page<Asset>, Error> {
        let (page, limit) = (page.max(1), limit.clamp(1, MAX_PAGE));
        let filter = doc! { "owner": object_id(owner.bytes()), "role": Role::Media.as_str() };
        let total = self.connection.bounded(self.assets.count_documents(filter.clone())).await?;
        let skip = (page - 1).saturating_mul(limit);
        let mut items = Vec::new();
        if skip < total {
            let size = i64::try_from(limit).unwrap_or(i64::MAX);
            let query = self.assets.find(filter).sort(doc! { "createdAt": -1, "_id": -1 });
            let query = query.skip(skip).limit(size);
            for asset in self.connection.collect(query).await? {
                items.push(decode("asset", &asset)?);
            }
        }
        Ok(Page { items, total, page, limit })
    }

    /// Which of these files an asset still needs. The others may be removed. After an error nothing is known about any of them.
    pub async fn files_in_use(&self, files: &[FileId]) -> Result<HashSet<FileId>, Error> {
        let mut used = HashSet::new();
        for files in files.chunks(1000) {
            let files: Vec<String> = files.iter().map(FileId::to_string).collect();
            // Files are removed on the strength of this, for good: one is needed if it is by what no failover can undo, and also if
            // it is by what has no majority yet.
            for concern in [ReadConcern::majority(), ReadConcern::local()] {
                let query = self.assets.find(doc! { "spool.file": { "$in": &files } }).projection(doc! { "spool": 1 });
                for asset in self.connection.collect(query.read_concern(concern)).await? {
                    used.insert(decode::<FileDocument>("asset", &asset)?.spool.file);
                }
            }
        }
        Ok(used)
    }

    /// Lets go of the files of uploads that failed longer ago than failed jobs are kept, and says which: they may be
    /// removed. At most a thousand at a time. A malformed one keeps what it has.
    pub async fn release_expired(&self) -> Result<Vec<FileId>, Error> {
        let expired = doc! {
            "state": AssetState::Failed.as_str(),
            "updatedAt": { "$lt": earlier(self.connection.now().await?, DISCARDED_KEPT) },
            // What the index is limited to.
            "spool.file": { "$exists": true },
        };
        let query = self.assets.find(expired.clone()).limit(1000).projection(doc! { "spool": 1 });
        let mut released = Vec::new();
        for asset in self.connection.collect(query).await? {
            let asset = match decode::<FileDocument>("asset", &asset) {
                Ok(asset) => asset,
                Err(cause) => {
                    tracing::warn!(%cause, "leaving the file of a malformed asset");
                    continue;
                }
            };
            let mut still = expired.clone();
            still.insert("_id", asset.id);
            let update = doc! { "$unset": { "spool": "" } };
            if self.connection.bounded(self.assets.update_one(still, update)).await?.matched_count == 1 {
                released.push(asset.spool.file);
            }
        }
        Ok(released)
    }
}
