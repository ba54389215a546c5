//! `/healthz`, `/readyz` and the original's healthcheck.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use broker::PublisherStatus;
use serde::Serialize;

use crate::App;
use crate::answer::Answer;

/// How long a dependency may take to answer before it counts as down.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize)]
pub(crate) struct Alive {
    status: &'static str,
}

/// The process runs and answers. Says nothing about its dependencies: restarting us does not mend those.
pub(crate) async fn alive() -> Answer<Alive> {
    Answer::ok(Alive { status: "ok" }, "Everything is fine")
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Readiness {
    ready: bool,
    dependencies: Dependencies,
}

#[derive(Debug, Serialize)]
struct Dependencies {
    mongodb: Dependency,
    rabbitmq: Dependency,
    spool: Dependency,
}

#[derive(Debug, Serialize)]
struct Dependency {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
}

impl Dependency {
    const fn new(up: bool, detail: &'static str) -> Self {
        match up {
            true => Self { state: "up", detail: None },
            false => Self { state: "down", detail: Some(detail) },
        }
    }

    fn is_up(&self) -> bool {
        self.state == "up"
    }
}

/// Each dependency by name: 200 if requests can be served, 503 if not. RabbitMQ is named but not needed for that: uploads
/// are accepted without it, and taking every API out of rotation would turn a broker's outage into everybody's.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let ping = tokio::time::timeout(PATIENCE, app.store().ping()).await;
    let database = matches!(ping, Ok(Ok(())));
    let dependencies = Dependencies {
        mongodb: match app.pressure().is_database_prepared() {
            true => Dependency::new(database, "it does not answer; requests that need it get 503"),
            false => Dependency::new(false, "its indexes are not made yet"),
        },
        rabbitmq: match app.publisher().status() {
            PublisherStatus::Connected => Dependency::new(true, ""),
            PublisherStatus::Blocked => Dependency::new(false, "it takes no messages; uploads are accepted and wait"),
            PublisherStatus::Disconnected { .. } => Dependency::new(false, "uploads are accepted and wait"),
        },
        spool: Dependency::new(
            app.pressure().free_bytes() >= app.limits().spool_min_free,
            "its disk is too full; uploads are refused with 507",
        ),
    };
    let ready = dependencies.mongodb.is_up() && dependencies.spool.is_up();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Strings always serialise.
    let body = serde_json::to_string(&Readiness { ready, dependencies }).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}
