//! One file per resource: the handlers, and the shapes that only they use.

pub(crate) mod account;
pub(crate) mod change_password;
pub(crate) mod channel;
pub(crate) mod docs;
pub(crate) mod health;
pub(crate) mod images;
pub(crate) mod jobs;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod media;
pub(crate) mod preview;
pub(crate) mod profile;
pub(crate) mod refresh_token;
pub(crate) mod register;
pub(crate) mod registration;
pub(crate) mod sessions;
pub(crate) mod subscriptions;

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
use crate::openapi::{self, Document};
use crate::origins::Origins;
use crate::problem::{Problem, ProblemKind};
use crate::{App, cors, linger, observe, origins, paths, protect};

/// Every route, with its description. What is added by `route` has none, and a test fails.
fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(register::register))
        .routes(routes!(login::login))
        .routes(routes!(logout::logout))
        .routes(routes!(refresh_token::refresh_token))
        .routes(routes!(change_password::change_password))
        .routes(routes!(account::update_account))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(profile::current_user))
        .routes(routes!(images::replace_avatar))
        .routes(routes!(images::replace_cover_image))
        .routes(routes!(channel::show))
        .routes(routes!(
            subscriptions::subscribers,
            subscriptions::toggle,
            subscriptions::subscribe,
            subscriptions::unsubscribe
        ))
        .routes(routes!(subscriptions::channels))
        .routes(routes!(media::list, media::submit))
        .routes(routes!(preview::show))
        .routes(routes!(jobs::show))
        .routes(routes!(health::healthcheck))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(docs::document))
        .routes(routes!(docs::page))
        .routes(routes!(docs::page_file))
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
        .route(paths::HEALTHCHECK, get(health::healthcheck))
        .route(paths::HEALTHZ, get(health::alive))
        .fallback(not_yet);
    surrounded(routes, config)
}

fn surrounded(routes: Router, config: &Config) -> Router {
    // A layer of a router comes after routing, so the path is rewritten in front of a router around it.
    let origins = Origins::new(config);
    let is_secure = config.public_url.as_deref().is_some_and(|url| url.starts_with("https:"));
    Router::new()
        .fallback_service(MapRequestLayer::new(paths::normalise).layer(routes))
        .layer(middleware::from_fn_with_state(origins.clone(), origins::guard))
        .layer(MapRequestLayer::new(linger::linger))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cors::layer(config, origins))
        .layer(middleware::from_fn_with_state(is_secure, protect::protect))
        .layer(middleware::from_fn(observe::observe))
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
        assert!(served.contains(paths::LOGIN), "paths are no longer where they were found: {router:?}");
        assert_eq!(served, document.paths.paths.keys().cloned().collect());
        // Or case and a slash at the end would matter in it.
        assert_eq!(served, paths::ALL.iter().map(ToString::to_string).collect());
    }

    #[test]
    fn a_route_without_a_description_is_noticed() {
        let (router, document) = described().route("/api/v1/secret", get(not_found)).split_for_parts();
        assert_ne!(paths_of(&router), document.paths.paths.keys().cloned().collect());
    }
}
