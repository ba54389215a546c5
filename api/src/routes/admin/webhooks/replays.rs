//! Sending again what was sent to endpoints of the operator's.

use axum::extract::State;
use axum::http::StatusCode;
use messages::{EndpointId, EventId};
use store::{Act, Delivery, Holder, RangeReplay, Replay};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::unknown;
use crate::auth::{AdminWriter, ClientAddress};
use crate::http::{Answer, Envelope, Json, PathId, PathIds, Problem, ProblemKind};
use crate::openapi::{ChangesThings, NeedsAdmin, Refusals, TakesId, TakesJson};
use crate::routes::admin::audited::{Acted, By, audited};
use crate::routes::webhook_endpoints::deliveries::{Range, enabled};
use crate::routes::webhook_endpoints::views::{DeliveryView, RangeReplayView};
use crate::state::App;

const TARGET: &str = "webhook-endpoint";

/// Has a delivery to an endpoint of the operator's sent again.
///
/// One that still waits to be sent is left as it is.
#[utoipa::path(
    post,
    path = "/api/v1/admin/webhook-endpoints/{id}/deliveries/{delivery}/replay",
    operation_id = "replayOperatorsWebhookDelivery",
    params(
        ("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$"),
        ("delivery" = String, Path, description = "The delivery's id", format = Uuid),
    ),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 202, description = "It waits to be sent", body = Envelope<DeliveryView>),
        Refusals<(NeedsAdmin, TakesId, ChangesThings)>,
    ),
)]
pub(super) async fn one(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathIds(ids): PathIds,
) -> Result<Answer<DeliveryView>, Problem> {
    let [id, delivery] = ids.as_slice() else { return Err(Problem::invalid("id", "must be 24 hexadecimal digits")) };
    let PathId(id) = PathId::<EndpointId>::parse(id)?;
    let PathId(delivery) = PathId::<EventId>::named("delivery", delivery)?;
    let delivery = replay_delivery(&app, &By::new(&admin, from), id, delivery).await?;
    Ok(Answer::new(StatusCode::ACCEPTED, DeliveryView::new(delivery), "The delivery waits to be sent"))
}

/// The same for any page.
pub(crate) async fn replay_delivery(
    app: &App,
    by: &By,
    id: EndpointId,
    delivery: EventId,
) -> Result<Delivery, Problem> {
    let act = by.does_to("webhook-endpoint.replay", TARGET, &id);
    let store = app.store.clone();
    audited(app, Act { detail: Some(delivery.to_string()), ..act }, async move {
        let endpoint = store.webhooks().endpoint(Holder::Operator, id).await?.ok_or_else(unknown)?;
        match store.webhooks().replay(enabled(endpoint)?.id, delivery).await? {
            Replay::Unknown => {
                Err(Problem::new(ProblemKind::NotFound, "this endpoint has no such delivery (any more)"))
            }
            Replay::Waiting(delivery) => Ok(Acted { answer: *delivery, count: 1 }),
        }
    })
    .await
}

/// Has those deliveries to an endpoint of the operator's sent again whose events happened in a range.
///
/// Those that still wait to be sent are left as they are. One request replays at most 1000, the earliest first.
#[utoipa::path(
    post,
    path = "/api/v1/admin/webhook-endpoints/{id}/replay",
    operation_id = "replayOperatorsWebhookDeliveries",
    params(("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$")),
    request_body = Range,
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 202, description = "They wait to be sent", body = Envelope<RangeReplayView>),
        Refusals<(NeedsAdmin, TakesId, TakesJson, ChangesThings)>,
    ),
)]
pub(super) async fn range(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathId(id): PathId<EndpointId>,
    Json(range): Json<Range>,
) -> Result<Answer<RangeReplayView>, Problem> {
    let (since, until) = range.read(&app).await?;
    let view = replay_deliveries(&app, &By::new(&admin, from), id, since, until).await?;
    Ok(Answer::new(StatusCode::ACCEPTED, view, "The deliveries wait to be sent"))
}

/// The same for any page.
pub(crate) async fn replay_deliveries(
    app: &App,
    by: &By,
    id: EndpointId,
    since: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<RangeReplayView, Problem> {
    let text = |time: OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
    let act = by.does_to("webhook-endpoint.replay", TARGET, &id);
    let store = app.store.clone();
    audited(app, Act { detail: Some(format!("{} to {}", text(since), text(until))), ..act }, async move {
        let endpoint = store.webhooks().endpoint(Holder::Operator, id).await?.ok_or_else(unknown)?;
        let RangeReplay { count, next } = store.webhooks().replay_range(enabled(endpoint)?.id, since, until).await?;
        let answer = RangeReplayView { replayed: count, next_since: next };
        Ok(Acted { answer, count: count as u64 })
    })
    .await
}
