use serde::{Deserialize, Serialize};

use crate::{EndpointId, EventId};

/// Payload of `webhook.deliver.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeliverWebhook {
    /// Where to send it.
    pub endpoint: EndpointId,
    /// What to send.
    pub event: EventId,
}
