//! The log of an endpoint's deliveries, and replaying.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use messages::{EndpointId, EventId};
use serde::Deserialize;
use store::{DeliveryPage, Endpoint, RangeReplay, Replay};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use super::own;
use super::views::{DeliveryView, RangeReplayView};
use crate::auth::Caller;
use crate::http::page::{cursor, number};
use crate::http::{Answer, Envelope, Json, Listing, Part, PathId, PathIds, Problem, ProblemKind};
use crate::openapi::{ChangesThings, NeedsUser, Refusals, TakesId, TakesJson, TakesParameters};
use crate::state::App;

const DEFAULT_LIMIT: u64 = 20;
const MAX_LIMIT: u64 = 100;

/// From when to when.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WebhookReplayRange)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Range {
    /// The first moment, such as `2026-01-02T03:04:05Z`.
    #[schema(value_type = String, required, format = DateTime)]
    since: Option<String>,
    /// The last one; now unless given.
    #[schema(nullable = false, format = DateTime)]
    until: Option<String>,
}

impl Range {
    /// Its two ends.
    pub(crate) async fn read(self, app: &App) -> Result<(OffsetDateTime, OffsetDateTime), Problem> {
        let since =
            self.since.filter(|text| !text.is_empty()).ok_or_else(|| Problem::invalid("since", "is required"))?;
        let since = moment("since", &since)?;
        let until = match self.until {
            Some(until) => moment("until", &until)?,
            None => app.store.now().await?,
        };
        if until < since {
            return Err(Problem::invalid("until", "must not be before since"));
        }
        Ok((since, until))
    }
}

/// What was sent to an endpoint, newest events first.
///
/// Deliveries are kept for as long as their events: seven days.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-endpoints/{id}/deliveries",
    operation_id = "listWebhookDeliveries",
    params(
        ("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$"),
        ("limit" = Option<u64>, Query, description = "Entries, 20 by default; above 100 it is 100", nullable = false, minimum = 1),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the answer before", nullable = false,
            pattern = "^([0-9a-f]{24}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?$"),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses((status = 200, description = "The list", body = Listing<DeliveryView>), Refusals<(NeedsUser, TakesId, TakesParameters)>),
)]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<EndpointId>,
    RawQuery(query): RawQuery,
) -> Result<Listing<DeliveryView>, Problem> {
    let query = query.as_deref().unwrap_or_default();
    let limit = number(query, "limit", DEFAULT_LIMIT)?.min(MAX_LIMIT);
    // With the endpoint before it: that of another list is none of this one.
    let after = cursor(query, |text| text.strip_prefix(&format!("{id}-"))?.parse::<EventId>().ok())?;
    let endpoint = own(&app, &caller, id).await?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let DeliveryPage { items, next } = app.store.webhooks().deliveries(endpoint.id, after, limit).await?;
    let data = items.into_iter().map(DeliveryView::new).collect();
    let next_cursor = next.map(|event| format!("{id}-{event}"));
    Ok(Part::new(data, next_cursor).listed("Deliveries fetched successfully"))
}

/// Has a delivery sent again.
///
/// One that still waits to be sent is left as it is.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints/{id}/deliveries/{delivery}/replay",
    operation_id = "replayWebhookDelivery",
    params(
        ("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$"),
        ("delivery" = String, Path, description = "The delivery's id", format = Uuid),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 202, description = "It waits to be sent", body = Envelope<DeliveryView>),
        Refusals<(NeedsUser, TakesId, ChangesThings)>,
    ),
)]
pub(super) async fn replay(
    State(app): State<App>,
    caller: Caller,
    PathIds(ids): PathIds,
) -> Result<Answer<DeliveryView>, Problem> {
    let [id, delivery] = ids.as_slice() else { return Err(Problem::invalid("id", "must be 24 hexadecimal digits")) };
    let PathId(id) = PathId::<EndpointId>::parse(id)?;
    let PathId(delivery) = PathId::<EventId>::named("delivery", delivery)?;
    let endpoint = enabled(own(&app, &caller, id).await?)?;
    match app.store.webhooks().replay(endpoint.id, delivery).await? {
        Replay::Unknown => Err(Problem::new(ProblemKind::NotFound, "this endpoint has no such delivery (any more)")),
        Replay::Waiting(delivery) => {
            Ok(Answer::new(StatusCode::ACCEPTED, DeliveryView::new(*delivery), "The delivery waits to be sent"))
        }
    }
}

/// Has those deliveries sent again whose events happened in a range.
///
/// Those that were skipped while the endpoint was disabled are among them; those that still wait to be sent are left as they
/// are. One request replays at most 1000, the earliest first.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints/{id}/replay",
    operation_id = "replayWebhookDeliveries",
    params(("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$")),
    request_body = Range,
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 202, description = "They wait to be sent", body = Envelope<RangeReplayView>),
        Refusals<(NeedsUser, TakesId, TakesJson, ChangesThings)>,
    ),
)]
pub(super) async fn replay_range(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<EndpointId>,
    Json(range): Json<Range>,
) -> Result<Answer<RangeReplayView>, Problem> {
    let (since, until) = range.read(&app).await?;
    let endpoint = enabled(own(&app, &caller, id).await?)?;
    let RangeReplay { count, next } = app.store.webhooks().replay_range(endpoint.id, since, until).await?;
    let view = RangeReplayView { replayed: count, next_since: next };
    Ok(Answer::new(StatusCode::ACCEPTED, view, "The deliveries wait to be sent"))
}

/// Nothing would be sent to another one.
pub(crate) fn enabled(endpoint: Endpoint) -> Result<Endpoint, Problem> {
    match endpoint.enabled {
        true => Ok(endpoint),
        false => Err(Problem::invalid("enabled", "must be true: enable the endpoint before you replay anything")),
    }
}

fn moment(field: &'static str, text: &str) -> Result<OffsetDateTime, Problem> {
    let moment = OffsetDateTime::parse(text, &Rfc3339);
    moment.map_err(|_| Problem::invalid(field, "must be a time such as 2026-01-02T03:04:05Z"))
}
