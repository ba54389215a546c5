//! `/healthz`, `/readyz` and chai-backend's healthcheck.

mod writes;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use broker::PublisherStatus;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::response::{Answer, Envelope};
use crate::openapi::{self, Refusals, schemas};
use crate::state::App;
use crate::uploads::Closed;

pub(crate) use writes::Writes;

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new().routes(routes!(healthcheck)).routes(routes!(alive)).routes(routes!(ready));
    openapi::tagged("health", "Whether the program and what it depends on are there", routes)
}

/// A dependency that takes longer to answer counts as down.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alive {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Tells that the process runs and answers.
///
/// Says nothing about its dependencies: restarting us does not mend those.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "isAlive",
    responses((status = 200, description = "It does", body = Envelope<Alive>), Refusals<()>),
)]
pub(crate) async fn alive() -> Answer<Alive> {
    Answer::ok(Alive { status: "ok" }, "Everything is fine")
}

/// The same, where chai-backend has it.
#[utoipa::path(
    get,
    path = "/api/v1/healthcheck",
    operation_id = "healthcheck",
    responses((status = 200, description = "It does", body = Envelope<Alive>), Refusals<()>),
)]
pub(crate) async fn healthcheck() -> Answer<Alive> {
    alive().await
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Readiness {
    /// Whether requests can be served.
    pub(super) ready: bool,
    dependencies: Dependencies,
    /// By how much this machine's clock is ahead of MongoDB's, milliseconds. MongoDB's counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 0)]
    clock_offset_ms: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Dependencies {
    mongodb: Dependency,
    rabbitmq: Dependency,
    spool: Dependency,
}

#[derive(Debug, Serialize, ToSchema)]
struct Dependency {
    #[schema(schema_with = schemas::dependency_state)]
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// What follows from its being down.
    #[schema(nullable = false)]
    detail: Option<&'static str>,
}

impl Dependency {
    fn new(up: bool, detail: &'static str) -> Self {
        Self { state: if up { "up" } else { "down" }, detail: (!up).then_some(detail) }
    }
}

/// Names each dependency.
///
/// RabbitMQ is named but not needed: uploads are accepted without it, and taking every API out of rotation would turn a
/// broker's outage into everybody's.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "isReady",
    responses(
        (status = 200, description = "Requests can be served", body = Readiness),
        (status = 503, description = "They cannot", body = Readiness),
        Refusals<()>,
    ),
)]
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let readiness = readiness(&app).await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

pub(super) async fn readiness(app: &App) -> Readiness {
    let ping = tokio::time::timeout(PING_TIMEOUT, app.store.ping()).await;
    let (has_indexes, answers) = (app.has_indexes(), matches!(ping, Ok(Ok(()))));
    let (takes_writes, closed) = (app.writes.are_taken(), app.uploads.closed());
    let dependencies = Dependencies {
        mongodb: match (has_indexes, answers) {
            (false, _) => Dependency::new(false, "its indexes are not made yet"),
            (true, false) => Dependency::new(false, "it does not answer; requests that need it get 503"),
            (true, true) => Dependency::new(takes_writes, "it takes no writes; what would change something gets 503"),
        },
        rabbitmq: match app.publisher.status() {
            PublisherStatus::Connected => Dependency::new(true, ""),
            PublisherStatus::Blocked => Dependency::new(false, "it takes no messages; uploads are accepted and wait"),
            PublisherStatus::Disconnected { .. } => Dependency::new(false, "uploads are accepted and wait"),
        },
        spool: Dependency::new(closed.is_none(), closed.map_or("", Closed::detail)),
    };
    let ready = has_indexes && answers && takes_writes && closed.is_none();
    Readiness { ready, dependencies, clock_offset_ms: app.store.clock_offset() }
}
