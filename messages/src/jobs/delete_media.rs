use serde::{Deserialize, Serialize};

use crate::AssetId;

/// Payload of `media.delete.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeleteMedia {
    /// The asset to delete.
    pub asset: AssetId,
    /// Given for what a discarded upload may have left: the name at the media host that it had. What lies there is deleted,
    /// whatever becomes of the asset; a redriven upload takes another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_id: Option<String>,
}
