//! `/api/v1/webhook-endpoints`: addresses to which users have their events sent.

pub(crate) mod checks;
pub(crate) mod deliveries;
pub(crate) mod views;

use axum::extract::State;
use axum::http::StatusCode;
use messages::EndpointId;
use serde::Deserialize;
use store::{Endpoint, EndpointChanges, Holder, MAX_ENDPOINTS, NewEndpoint};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Caller;
use crate::http::{Answer, Envelope, Json, Nothing, PathId, Problem, ProblemKind};
use crate::openapi::{self, ChangesThings, NeedsUser, Refusals, TakesId, TakesJson};
use crate::state::App;
use views::{EndpointView, EndpointWithSecretView};

const ABOUT: &str = "Addresses to which users have their events sent, after [Standard Webhooks](https://www.standardwebhooks.com).\n\n\
    An event is posted as `{\"type\": \"media.ready.v1\", \"timestamp\": \"…\", \"data\": {…}}`. `webhook-id` is the event's id, the same \
    in every attempt and every replay: drop what comes twice by it. Check `webhook-signature` with one of the libraries, which also \
    refuse an old `webhook-timestamp`: it holds a signature by the secret and, for 24 hours after a rotation, one by the secret before.\n\n\
    Any 2xx within 10 seconds is a success. Everything else is tried again, up to 26 times within about a day and not before \
    `Retry-After`; redirects are not followed. 410 disables the endpoint at once. So does a delivery that fails for good when nothing \
    has arrived for five days. An event may come more than once, and in any order.";

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(list, register))
        .routes(routes!(show, change, remove))
        .routes(routes!(rotate))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::replay))
        .routes(routes!(deliveries::replay_range));
    openapi::tagged("webhooks", ABOUT, routes)
}

/// An endpoint to be registered.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewWebhookEndpoint)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewEndpointBody {
    /// Begins with `https://`, has no user name, password or fragment, and leads to the internet.
    #[schema(value_type = String, required, format = Uri, min_length = 1, max_length = 2048, example = "https://example.com/hooks")]
    pub(crate) url: Option<String>,
    /// Kinds of events, or `*` for all of them, which it is unless given.
    #[schema(nullable = false, min_items = 1, max_items = 20, example = json!(["media.ready.v1"]))]
    pub(crate) events: Option<Vec<String>>,
    /// For its owner.
    #[schema(nullable = false, max_length = 500)]
    pub(crate) description: Option<String>,
}

/// At least one of them.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WebhookEndpointChanges)]
#[serde(rename_all = "camelCase")]
struct ChangesBody {
    /// As when it is registered.
    #[schema(nullable = false, format = Uri, min_length = 1, max_length = 2048)]
    url: Option<String>,
    /// As when it is registered.
    #[schema(nullable = false, min_items = 1, max_items = 20)]
    events: Option<Vec<String>>,
    /// As when it is registered.
    #[schema(nullable = false, max_length = 500)]
    description: Option<String>,
    /// `false`: nothing is sent. `true`: what happens from now on is; replay what was missed.
    #[schema(nullable = false)]
    enabled: Option<bool>,
}

/// Registers an endpoint.
///
/// Its secret is in this answer and in no other. A user has at most 10 endpoints.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints",
    operation_id = "registerWebhookEndpoint",
    request_body = NewEndpointBody,
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 201, description = "It is registered", body = Envelope<EndpointWithSecretView>,
            headers(("Location" = String, description = "The endpoint"))),
        Refusals<(NeedsUser, TakesJson, ChangesThings)>,
    ),
)]
async fn register(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    Json(body): Json<NewEndpointBody>,
) -> Result<Answer<EndpointWithSecretView>, Problem> {
    let (url, events, description) = (body.url.unwrap_or_default(), body.events, body.description);
    let checked = checks::check(&app, Some(url), events, description).await?;
    let secret = outbound::new_secret();
    let new = NewEndpoint {
        holder: Holder::User(user.id),
        url: checked.url.unwrap_or_default(),
        events: checked.events.unwrap_or_else(|| vec![store::ANY_EVENT.to_owned()]),
        description: checked.description.unwrap_or_default(),
        secret: secret.clone(),
    };
    let Some(endpoint) = app.store.webhooks().register(new).await? else {
        let detail = format!("you have {MAX_ENDPOINTS} endpoints, and may not have more: remove one first");
        return Err(Problem::new(ProblemKind::Invalid, detail));
    };
    let location = format!("{}/api/v1/webhook-endpoints/{}", app.public_url, endpoint.id);
    let view = EndpointWithSecretView::new(endpoint, &secret);
    Ok(Answer::new(StatusCode::CREATED, view, "Endpoint registered").located(Some(location)))
}

/// The user's endpoints, the oldest first.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-endpoints",
    operation_id = "listWebhookEndpoints",
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "All of them", body = Envelope<Vec<EndpointView>>),
        Refusals<(NeedsUser,)>,
    ),
)]
async fn list(State(app): State<App>, Caller { user, .. }: Caller) -> Result<Answer<Vec<EndpointView>>, Problem> {
    let endpoints = app.store.webhooks().endpoints_of(Holder::User(user.id)).await?;
    let views = endpoints.into_iter().map(EndpointView::new).collect();
    Ok(Answer::ok(views, "Endpoints fetched successfully"))
}

/// One of the user's endpoints.
///
/// Another user's endpoint is as unknown as one that does not exist.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-endpoints/{id}",
    operation_id = "getWebhookEndpoint",
    params(("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The endpoint", body = Envelope<EndpointView>),
        Refusals<(NeedsUser, TakesId)>,
    ),
)]
async fn show(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<EndpointId>,
) -> Result<Answer<EndpointView>, Problem> {
    let endpoint = own(&app, &caller, id).await?;
    Ok(Answer::ok(EndpointView::new(endpoint), "Endpoint fetched successfully"))
}

/// Changes an endpoint. What is not sent stays.
///
/// To enable one that was disabled forgets that it has failed.
#[utoipa::path(
    patch,
    path = "/api/v1/webhook-endpoints/{id}",
    operation_id = "changeWebhookEndpoint",
    params(("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$")),
    request_body = ChangesBody,
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The endpoint as changed", body = Envelope<EndpointView>),
        Refusals<(NeedsUser, TakesId, TakesJson, ChangesThings)>,
    ),
)]
async fn change(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<EndpointId>,
    Json(body): Json<ChangesBody>,
) -> Result<Answer<EndpointView>, Problem> {
    let ChangesBody { url, events, description, enabled } = body;
    if url.is_none() && events.is_none() && description.is_none() && enabled.is_none() {
        let detail = "send at least one of url, events, description and enabled";
        return Err(Problem::new(ProblemKind::Invalid, detail));
    }
    // Whose it is comes before what it may be: looking up a host costs more.
    own(&app, &caller, id).await?;
    let checked = checks::check(&app, url, events, description).await?;
    let checks::Checked { url, events, description } = checked;
    let changes = EndpointChanges { url, events, description, enabled };
    let changed = app.store.webhooks().change(Holder::User(caller.user.id), id, changes).await?;
    Ok(Answer::ok(EndpointView::new(changed.ok_or_else(unknown)?), "Endpoint changed"))
}

/// Removes an endpoint, with the log of its deliveries.
///
/// What was not yet sent to it is not sent.
#[utoipa::path(
    delete,
    path = "/api/v1/webhook-endpoints/{id}",
    operation_id = "removeWebhookEndpoint",
    params(("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "It is gone", body = Envelope<Nothing>),
        Refusals<(NeedsUser, TakesId, ChangesThings)>,
    ),
)]
async fn remove(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    PathId(id): PathId<EndpointId>,
) -> Result<Answer<Nothing>, Problem> {
    if !app.store.webhooks().remove(Holder::User(user.id), id).await? {
        return Err(unknown());
    }
    Ok(Answer::ok(Nothing {}, "Endpoint removed"))
}

/// Gives an endpoint another secret.
///
/// It is in this answer and in no other. For 24 hours the one before it signs too.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints/{id}/rotate",
    operation_id = "rotateWebhookSecret",
    params(("id" = String, Path, description = "The endpoint's id", pattern = "^[0-9a-f]{24}$")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The endpoint with its new secret", body = Envelope<EndpointWithSecretView>),
        Refusals<(NeedsUser, TakesId, ChangesThings)>,
    ),
)]
async fn rotate(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    PathId(id): PathId<EndpointId>,
) -> Result<Answer<EndpointWithSecretView>, Problem> {
    let secret = outbound::new_secret();
    let endpoint = app.store.webhooks().rotate(Holder::User(user.id), id, &secret).await?.ok_or_else(unknown)?;
    Ok(Answer::ok(EndpointWithSecretView::new(endpoint, &secret), "Secret rotated"))
}

/// One of the caller's endpoints.
async fn own(app: &App, caller: &Caller, id: EndpointId) -> Result<Endpoint, Problem> {
    app.store.webhooks().endpoint(Holder::User(caller.user.id), id).await?.ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::new(ProblemKind::NotFound, "you have no such endpoint")
}
