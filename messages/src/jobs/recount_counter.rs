use serde::{Deserialize, Serialize};

/// Payload of `counter.recount.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RecountCounter {
    /// What to count: `<counter>:<subject>`, such as `video-likes:65a1b2c3d4e5f60718293a4b`.
    pub counter: String,
}
