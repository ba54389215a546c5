use serde::{Deserialize, Serialize};

use crate::ActionId;

/// Payload of `jobs.act.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ActOnJobs {
    /// What to do, and on which jobs.
    pub action: ActionId,
}
