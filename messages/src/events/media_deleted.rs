use serde::{Deserialize, Serialize};

use crate::{AssetId, JobId};

/// Data of `media.deleted.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MediaDeleted {
    /// The job that did it; or the one that had uploaded it, if a person has deleted it at Cloudinary.
    pub job: JobId,
    /// The asset.
    pub asset: AssetId,
}
