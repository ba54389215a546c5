use serde::{Deserialize, Serialize};

use crate::{AssetId, SpoolId};

/// Payload of `media.upload.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UploadMedia {
    /// The asset whose file is to be uploaded.
    pub asset: AssetId,
    /// The spool that holds the file; also part of the queue's name.
    pub spool: SpoolId,
}
