use serde::{Deserialize, Serialize};

use crate::{AssetId, JobId, UserId};

/// Data of `media.ready.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MediaReady {
    /// The job that did it.
    pub job: JobId,
    /// The asset.
    pub asset: AssetId,
    /// Whose asset it is.
    pub owner: UserId,
    /// Where it is served from.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "uri")))]
    pub url: String,
}
