use serde::{Deserialize, Serialize};

use crate::{AssetId, JobId, UserId};

/// Data of `media.cancelled.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MediaCancelled {
    /// The job that was cancelled.
    pub job: JobId,
    /// The asset.
    pub asset: AssetId,
    /// Whose asset it is.
    pub owner: UserId,
    /// Why, in words.
    pub reason: String,
}
