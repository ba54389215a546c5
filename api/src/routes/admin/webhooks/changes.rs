//! Adding, removing and changing endpoints of the operator's, as `worker webhooks` does.

use axum::extract::State;
use axum::http::StatusCode;
use messages::EndpointId;
use secrecy::SecretString;
use store::{Act, Endpoint, EndpointChanges, Holder, MAX_ENDPOINTS, NewEndpoint};

use super::unknown;
use crate::auth::{AdminWriter, ClientAddress};
use crate::http::{Answer, Envelope, Json, Nothing, PathId, Problem, ProblemKind};
use crate::openapi::{ChangesThings, NeedsAdmin, Refusals, TakesId, TakesJson};
use crate::routes::admin::audited::{Acted, By, audited};
use crate::routes::webhook_endpoints::NewEndpointBody;
use crate::routes::webhook_endpoints::checks;
use crate::routes::webhook_endpoints::views::{EndpointView, EndpointWithSecretView};
use crate::state::App;

const TARGET: &str = "webhook-endpoint";

/// Registers an endpoint that gets everybody's events.
///
/// Its secret is in this answer and in no other. There are at most 10.
#[utoipa::path(
    post,
    path = "/api/v1/admin/webhook-endpoints",
    operation_id = "registerOperatorsWebhookEndpoint",
    request_body = NewEndpointBody,
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 201, description = "It is registered", body = Envelope<EndpointWithSecretView>),
        Refusals<(NeedsAdmin, TakesJson, ChangesThings)>,
    ),
)]
pub(super) async fn register(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    Json(body): Json<NewEndpointBody>,
) -> Result<Answer<EndpointWithSecretView>, Problem> {
    let (endpoint, secret) = add(&app, &By::new(&admin, from), body).await?;
    Ok(Answer::new(StatusCode::CREATED, EndpointWithSecretView::new(endpoint, &secret), "Endpoint registered"))
}

/// The same for any page. The secret is to be shown once.
pub(crate) async fn add(app: &App, by: &By, body: NewEndpointBody) -> Result<(Endpoint, SecretString), Problem> {
    let checked = checks::check(app, Some(body.url.unwrap_or_default()), body.events, body.description).await?;
    let secret = outbound::new_secret();
    let new = NewEndpoint {
        holder: Holder::Operator,
        url: checked.url.unwrap_or_default(),
        events: checked.events.unwrap_or_else(|| vec![store::ANY_EVENT.to_owned()]),
        description: checked.description.unwrap_or_default(),
        secret: secret.clone(),
    };
    let act = Act { detail: Some(new.url.clone()), ..by.does("webhook-endpoint.add") };
    let store = app.store.clone();
    audited(app, act, async move {
        let Some(endpoint) = store.webhooks().register(new).await? else {
            let detail = format!("there are {MAX_ENDPOINTS} endpoints already, and may not be more: remove one first");
            return Err(Problem::new(ProblemKind::Invalid, detail));
        };
        Ok(Acted { answer: (endpoint, secret), count: 1 })
    })
    .await
}

/// Removes an endpoint of the operator's, with the log of its deliveries.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/webhook-endpoints/{id}",
    operation_id = "removeOperatorsWebhookEndpoint",
    params(("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "It is gone", body = Envelope<Nothing>),
        Refusals<(NeedsAdmin, TakesId, ChangesThings)>,
    ),
)]
pub(super) async fn remove(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathId(id): PathId<EndpointId>,
) -> Result<Answer<Nothing>, Problem> {
    remove_one(&app, &By::new(&admin, from), id).await?;
    Ok(Answer::ok(Nothing {}, "Endpoint removed"))
}

/// The same for any page.
pub(crate) async fn remove_one(app: &App, by: &By, id: EndpointId) -> Result<(), Problem> {
    let store = app.store.clone();
    audited(app, by.does_to("webhook-endpoint.remove", TARGET, &id), async move {
        match store.webhooks().remove(Holder::Operator, id).await? {
            true => Ok(Acted { answer: (), count: 1 }),
            false => Err(unknown()),
        }
    })
    .await
}

/// Enables an endpoint of the operator's.
///
/// That it has failed is forgotten. What happens from now on is sent; replay what was missed.
#[utoipa::path(
    post,
    path = "/api/v1/admin/webhook-endpoints/{id}/enable",
    operation_id = "enableOperatorsWebhookEndpoint",
    params(("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The endpoint as it is now", body = Envelope<EndpointView>),
        Refusals<(NeedsAdmin, TakesId, ChangesThings)>,
    ),
)]
pub(super) async fn enable(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathId(id): PathId<EndpointId>,
) -> Result<Answer<EndpointView>, Problem> {
    let endpoint = switch(&app, &By::new(&admin, from), id, true).await?;
    Ok(Answer::ok(EndpointView::new(endpoint), "Endpoint enabled"))
}

/// Disables an endpoint of the operator's.
///
/// Nothing is sent to it until it is enabled.
#[utoipa::path(
    post,
    path = "/api/v1/admin/webhook-endpoints/{id}/disable",
    operation_id = "disableOperatorsWebhookEndpoint",
    params(("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The endpoint as it is now", body = Envelope<EndpointView>),
        Refusals<(NeedsAdmin, TakesId, ChangesThings)>,
    ),
)]
pub(super) async fn disable(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathId(id): PathId<EndpointId>,
) -> Result<Answer<EndpointView>, Problem> {
    let endpoint = switch(&app, &By::new(&admin, from), id, false).await?;
    Ok(Answer::ok(EndpointView::new(endpoint), "Endpoint disabled"))
}

/// Enables or disables, for any page. A second call changes nothing.
pub(crate) async fn switch(app: &App, by: &By, id: EndpointId, on: bool) -> Result<Endpoint, Problem> {
    let action = if on { "webhook-endpoint.enable" } else { "webhook-endpoint.disable" };
    let store = app.store.clone();
    audited(app, by.does_to(action, TARGET, &id), async move {
        let before = store.webhooks().endpoint(Holder::Operator, id).await?.ok_or_else(unknown)?;
        if before.enabled == on {
            return Ok(Acted { answer: before, count: 0 });
        }
        let changes = EndpointChanges { enabled: Some(on), ..EndpointChanges::default() };
        let after = store.webhooks().change(Holder::Operator, id, changes).await?.ok_or_else(unknown)?;
        Ok(Acted { answer: after, count: 1 })
    })
    .await
}

/// Gives an endpoint of the operator's another secret.
///
/// It is in this answer and in no other. For 24 hours the one before it signs too.
#[utoipa::path(
    post,
    path = "/api/v1/admin/webhook-endpoints/{id}/rotate",
    operation_id = "rotateOperatorsWebhookSecret",
    params(("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The endpoint with its new secret", body = Envelope<EndpointWithSecretView>),
        Refusals<(NeedsAdmin, TakesId, ChangesThings)>,
    ),
)]
pub(super) async fn rotate(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathId(id): PathId<EndpointId>,
) -> Result<Answer<EndpointWithSecretView>, Problem> {
    let (endpoint, secret) = rotate_one(&app, &By::new(&admin, from), id).await?;
    Ok(Answer::ok(EndpointWithSecretView::new(endpoint, &secret), "Secret rotated"))
}

/// The same for any page. The secret is to be shown once.
pub(crate) async fn rotate_one(app: &App, by: &By, id: EndpointId) -> Result<(Endpoint, SecretString), Problem> {
    let store = app.store.clone();
    audited(app, by.does_to("webhook-endpoint.rotate", TARGET, &id), async move {
        let secret = outbound::new_secret();
        let endpoint = store.webhooks().rotate(Holder::Operator, id, &secret).await?.ok_or_else(unknown)?;
        Ok(Acted { answer: (endpoint, secret), count: 1 })
    })
    .await
}
