//! Every route, and what surrounds all of them.

pub(crate) mod admin;
mod channels;
mod docs;
mod events;
mod health;
pub(crate) mod jobs;
mod media;
mod metrics;
mod subscriptions;
pub(crate) mod users;
mod webhook_endpoints;
mod webhooks;

use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::routing::get;
use axum::{Extension, Router, middleware};
use tower::Layer;
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::auth;
use crate::config::Config;
use crate::http::csrf::{self, Origins};
use crate::http::path_case::Paths;
use crate::http::{Problem, ProblemKind, cors, drain_body, request_log, request_metrics, security_headers};
use crate::openapi::{Document, Frame};
use crate::state::App;

pub(crate) use admin::dead_letters::DeadLetters;
pub(crate) use events::{Hub, StreamLimits, follow as follow_events};
pub(crate) use health::Writes;
pub(crate) use metrics::Metrics;

/// Every route, with its description. What is added by `route` has none, and a test fails.
fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Frame::openapi())
        .merge(users::router())
        .merge(channels::router())
        .merge(subscriptions::router())
        .merge(media::router())
        .merge(jobs::router())
        .merge(events::router())
        .merge(webhook_endpoints::router())
        .merge(webhooks::router())
        .merge(admin::router())
        .merge(health::router())
        .merge(docs::router())
}

/// All routes and the pages of operators, with everything around them that does not need a connection.
pub(crate) fn router(app: App, pages: Router<App>, config: &Config) -> Router {
    let (routes, document) = described().split_for_parts();
    // Maps with string keys and values of the library's own: they always serialise.
    let json = Document(document.to_json().unwrap_or_default().into());
    let routes = routes
        .merge(pages)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Every handler that reads a body has limits of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(Extension(json))
        .layer(MapRequestLayer::new(request_metrics::note_route))
        .layer(middleware::from_fn_with_state(app.auth.clone(), auth::guard_admins))
        .with_state(app);
    surrounded(routes, Paths::new(document.paths.paths.into_keys()), config)
}

/// What is served while the database's name is being resolved: the process lives, and everything else has to wait.
pub(crate) fn starting(config: &Config) -> Router {
    let alive = ["/api/v1/healthcheck", "/healthz"];
    let routes =
        Router::new().route(alive[0], get(health::healthcheck)).route(alive[1], get(health::alive)).fallback(not_yet);
    surrounded(routes, Paths::new(alive), config)
}

fn surrounded(routes: Router, paths: Paths, config: &Config) -> Router {
    // A layer of a router comes after routing, so the path is rewritten in front of a router around it.
    let normalise = MapRequestLayer::new(move |request| paths.normalise(request));
    let origins = Origins::new(config, auth::carries_session);
    let router = Router::new()
        .fallback_service(normalise.layer(routes))
        .layer(middleware::from_fn_with_state(origins.clone(), csrf::guard))
        .layer(MapRequestLayer::new(drain_body::drain))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cors::layer(config, origins))
        .layer(middleware::from_fn_with_state(config.http.is_secure(), security_headers::add))
        .layer(middleware::from_fn(request_log::log));
    if meters::is_on() { router.layer(middleware::from_fn(request_metrics::measure)) } else { router }
}

async fn not_yet() -> Problem {
    Problem::new(ProblemKind::Unavailable, "the database's address is not resolved yet").retry_after(5)
}

async fn not_found() -> Problem {
    Problem::new(ProblemKind::NotFound, "there is no such route")
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(ProblemKind::MethodNotAllowed, format!("{method} is not allowed here"))
}

#[allow(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let cause = format!("a handler panicked: {}", text.unwrap_or("without a word"));
    axum::response::IntoResponse::into_response(Problem::internal(cause))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The paths of a router, which it tells in its debugging output only, but for those of its own fallback.
    fn paths_of(router: &Router<App>) -> BTreeSet<String> {
        let shown = format!("{router:?}");
        let quoted = shown.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/'));
        quoted.filter(|path| *path != "/" && !path.contains("axum_fallback")).map(str::to_owned).collect()
    }

    #[test]
    fn every_route_is_described_and_every_description_is_of_a_route() {
        let (router, document) = described().split_for_parts();
        let served = paths_of(&router);
        assert!(served.contains("/api/v1/users/login"), "paths are no longer where they were found: {router:?}");
        assert_eq!(served, document.paths.paths.keys().cloned().collect());
    }

    #[test]
    fn a_route_without_a_description_is_noticed() {
        let (router, document) = described().route("/api/v1/secret", get(not_found)).split_for_parts();
        assert_ne!(paths_of(&router), document.paths.paths.keys().cloned().collect());
    }
}
