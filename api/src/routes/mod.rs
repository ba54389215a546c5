//! Every route, and what surrounds all of them.

pub(crate) mod channels;
pub(crate) mod docs;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod media;
pub(crate) mod subscriptions;
pub(crate) mod users;

use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::routing::get;
use axum::{Extension, Router, middleware};
use tower::Layer;
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Config;
use crate::http::csrf::Origins;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::{cors, csrf, drain_body, path_case, request_log, security_headers};
use crate::openapi::{self, Document};
use crate::state::App;

/// Every route, with its description. What is added by `route` has none, and a test fails.
fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(users::register::register))
        .routes(routes!(users::login::login))
        .routes(routes!(users::logout::logout))
        .routes(routes!(users::refresh_token::refresh_token))
        .routes(routes!(users::change_password::change_password))
        .routes(routes!(users::account::update_account))
        .routes(routes!(users::sessions::list))
        .routes(routes!(users::sessions::end))
        .routes(routes!(users::current::current_user))
        .routes(routes!(users::images::replace_avatar))
        .routes(routes!(users::images::replace_cover_image))
        .routes(routes!(channels::handlers::show))
        .routes(routes!(
            subscriptions::handlers::subscribers,
            subscriptions::handlers::toggle,
            subscriptions::handlers::subscribe,
            subscriptions::handlers::unsubscribe
        ))
        .routes(routes!(subscriptions::handlers::channels))
        .routes(routes!(media::handlers::list, media::handlers::submit))
        .routes(routes!(media::preview::show))
        .routes(routes!(jobs::handlers::show))
        .routes(routes!(health::handlers::healthcheck))
        .routes(routes!(health::handlers::alive))
        .routes(routes!(health::handlers::ready))
        .routes(routes!(docs::handlers::document))
        .routes(routes!(docs::handlers::page))
        .routes(routes!(docs::handlers::page_file))
}

/// All routes, with everything around them that does not need a connection.
pub fn router(app: App, config: &Config) -> Router {
    let (routes, document) = described().split_for_parts();
    let routes = routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Every handler that reads a body has limits of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(Extension(Document::new(&document)))
        .with_state(app);
    surrounded(routes, config)
}

/// What is served while the database's name is being resolved: the process lives, and everything else has to wait.
pub(crate) fn starting(config: &Config) -> Router {
    let routes = Router::new()
        .route(path_case::HEALTHCHECK, get(health::handlers::healthcheck))
        .route(path_case::HEALTHZ, get(health::handlers::alive))
        .fallback(not_yet);
    surrounded(routes, config)
}

fn surrounded(routes: Router, config: &Config) -> Router {
    // A layer of a router comes after routing, so the path is rewritten in front of a router around it.
    let origins = Origins::new(config);
    let is_secure = config.public_url.as_deref().is_some_and(|url| url.starts_with("https:"));
    Router::new()
        .fallback_service(MapRequestLayer::new(path_case::normalise).layer(routes))
        .layer(middleware::from_fn_with_state(origins.clone(), csrf::guard))
        .layer(MapRequestLayer::new(drain_body::drain))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cors::layer(config, origins))
        .layer(middleware::from_fn_with_state(is_secure, security_headers::add))
        .layer(middleware::from_fn(request_log::log))
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
        assert!(served.contains(path_case::LOGIN), "paths are no longer where they were found: {router:?}");
        assert_eq!(served, document.paths.paths.keys().cloned().collect());
        // Or case and a slash at the end would matter in it.
        assert_eq!(served, path_case::ALL.iter().map(ToString::to_string).collect());
    }

    #[test]
    fn a_route_without_a_description_is_noticed() {
        let (router, document) = described().route("/api/v1/secret", get(not_found)).split_for_parts();
        assert_ne!(paths_of(&router), document.paths.paths.keys().cloned().collect());
    }
}
