//! An asset as it stands in the database.

use bson::DateTime;
use bson::oid::ObjectId;
use messages::{AssetId, FileId, JobId, SpoolId, UserId};
use serde::{Deserialize, Serialize};

use crate::{Asset, AssetState, MediaType, ResourceType, Role, Spooled, StoredMedia};

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
