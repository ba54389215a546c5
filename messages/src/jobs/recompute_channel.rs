use serde::{Deserialize, Serialize};

use crate::UserId;

/// Payload of `channel.recompute.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RecomputeChannel {
    /// The channel, who is a user.
    pub channel: UserId,
}
