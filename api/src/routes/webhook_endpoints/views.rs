//! What clients see of endpoints and of what was sent to them.

use messages::{EndpointId, EventId};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use store::{Delivery, DeliveryAttempt, Disabled, Endpoint};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::http::response::iso;
use crate::openapi::schemas;

/// An address to which events are sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointView {
    #[schema(schema_with = schemas::object_id)]
    pub(crate) id: EndpointId,
    #[schema(format = Uri)]
    pub(crate) url: String,
    /// Kinds of events, or `*`.
    pub(crate) events: Vec<String>,
    pub(crate) description: String,
    /// Whether anything is sent to it.
    pub(crate) enabled: bool,
    /// Why we have disabled it; null if we have not.
    #[schema(required)]
    pub(crate) disabled: Option<DisabledView>,
    // Since when every attempt has failed; null while the last one has succeeded.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) failing_since: Option<OffsetDateTime>,
    // When something has last arrived, to the minute.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) last_success_at: Option<OffsetDateTime>,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) updated_at: OffsetDateTime,
}

/// That an endpoint was disabled, and not by its owner.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpointDisabled)]
pub(crate) struct DisabledView {
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) at: OffsetDateTime,
    /// For programs: `failing`, or `gone` after a 410.
    #[schema(example = "failing")]
    pub(crate) code: String,
    /// For people.
    pub(crate) reason: String,
}

/// An endpoint with its secret, which is told once.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpointWithSecret)]
pub(crate) struct EndpointWithSecretView {
    #[serde(flatten)]
    pub(crate) endpoint: EndpointView,
    /// `whsec_` and Base64, as the libraries of Standard Webhooks take it.
    #[schema(pattern = "^whsec_[A-Za-z0-9+/]+=*$")]
    pub(crate) secret: String,
}

impl EndpointView {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let disabled = endpoint.disabled.map(|Disabled { at, code, reason }| DisabledView { at, code, reason });
        Self {
            id: endpoint.id,
            url: endpoint.url,
            events: endpoint.events,
            description: endpoint.description,
            enabled: endpoint.enabled,
            disabled,
            failing_since: endpoint.failing_since,
            last_success_at: endpoint.last_success_at,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

impl EndpointWithSecretView {
    pub(crate) fn new(endpoint: Endpoint, secret: &SecretString) -> Self {
        Self { endpoint: EndpointView::new(endpoint), secret: secret.expose_secret().to_owned() }
    }
}

/// An event for an endpoint, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryView {
    /// The event's id, which is its `webhook-id` too.
    #[schema(value_type = String, format = Uuid)]
    pub(crate) id: EventId,
    /// The kind of the event.
    #[serde(rename = "type")]
    #[schema(example = "media.ready.v1")]
    pub(crate) kind: String,
    // When the event happened.
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) happened_at: OffsetDateTime,
    #[schema(schema_with = schemas::delivery_state)]
    pub(crate) state: &'static str,
    /// Why it has failed or was skipped; null otherwise.
    #[schema(required)]
    pub(crate) reason: Option<String>,
    /// The latest attempts, the oldest first; those of replays are among them.
    pub(crate) attempts: Vec<DeliveryAttemptView>,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) updated_at: OffsetDateTime,
}

/// One request to an endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDeliveryAttempt)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryAttemptView {
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) at: OffsetDateTime,
    /// The status of the answer; null if there was none.
    #[schema(required)]
    pub(crate) status: Option<u16>,
    /// What was wrong: `status`, `redirect`, `gone`, `timeout`, `no-connection`, `tls`, `no-answer`, `private-address`, `unknown-host` or
    /// `address`; null of one that has succeeded.
    #[schema(required, example = "timeout")]
    pub(crate) error: Option<String>,
    /// Milliseconds.
    pub(crate) took_ms: u64,
}

impl DeliveryView {
    pub(crate) fn new(delivery: Delivery) -> Self {
        let attempt = |attempt: DeliveryAttempt| DeliveryAttemptView {
            at: attempt.at,
            status: attempt.status,
            error: attempt.error,
            took_ms: attempt.took_ms,
        };
        Self {
            id: delivery.event,
            kind: delivery.kind,
            happened_at: delivery.happened_at,
            state: delivery.state.as_str(),
            reason: delivery.reason,
            attempts: delivery.attempts.into_iter().map(attempt).collect(),
            updated_at: delivery.updated_at,
        }
    }
}

/// What a range has become.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookReplay)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RangeReplayView {
    /// How many deliveries are sent again.
    pub(crate) replayed: usize,
    // Ask again with this as `since`, if there is more than one request may replay; null otherwise.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) next_since: Option<OffsetDateTime>,
}
