use serde::{Deserialize, Serialize};

use crate::{AssetId, JobId, UserId};

/// Data of `media.failed.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MediaFailed {
    /// The job that was discarded.
    pub job: JobId,
    /// The asset.
    pub asset: AssetId,
    /// Whose asset it is.
    pub owner: UserId,
    /// Why, in words that a person can act on.
    pub reason: String,
}
