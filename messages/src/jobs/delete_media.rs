use serde::{Deserialize, Serialize};

use crate::AssetId;

/// Payload of `media.delete.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteMedia {
    /// The asset to delete.
    pub asset: AssetId,
    /// The name at the media host under which it may lie, if that is not the asset's for good: of an upload that was given up. What
    /// lies there is deleted whatever has become of the asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_id: Option<String>,
}
