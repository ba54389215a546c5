//! One file per resource: the handlers, and the shapes that only they use.

pub(crate) mod account;
pub(crate) mod change_password;
pub(crate) mod channel;
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

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware;
use axum::routing::{delete, get, patch, post};
use tower::Layer;
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::Config;
use crate::problem::{Problem, ProblemKind};
use crate::{App, cors, linger, observe, paths};

/// All routes, with everything around them that does not need a connection.
pub fn router(app: App, config: &Config) -> Router {
    let routes = Router::new()
        .route(paths::REGISTER, post(register::register))
        .route(paths::LOGIN, post(login::login))
        .route(paths::LOGOUT, post(logout::logout))
        .route(paths::REFRESH_TOKEN, post(refresh_token::refresh_token))
        .route(paths::CHANGE_PASSWORD, post(change_password::change_password))
        .route(paths::UPDATE_ACCOUNT, patch(account::update_account))
        .route(paths::SESSIONS, get(sessions::list))
        .route(paths::SESSION, delete(sessions::end))
        .route(paths::CURRENT_USER, get(profile::current_user))
        .route(paths::AVATAR, patch(images::replace_avatar))
        .route(paths::COVER_IMAGE, patch(images::replace_cover_image))
        .route(paths::CHANNEL, get(channel::show))
        .route(
            paths::SUBSCRIBERS,
            get(subscriptions::subscribers)
                .post(subscriptions::toggle)
                .put(subscriptions::subscribe)
                .delete(subscriptions::unsubscribe),
        )
        .route(paths::SUBSCRIPTIONS, get(subscriptions::channels))
        .route(paths::MEDIA, get(media::list).post(media::submit))
        .route(paths::MEDIA_ITEM, get(preview::show))
        .route(paths::JOB, get(jobs::show))
        .route(paths::HEALTHCHECK, get(health::alive))
        .route(paths::HEALTHZ, get(health::alive))
        .route(paths::READYZ, get(health::ready))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Every handler that reads a body has limits of its own.
        .layer(DefaultBodyLimit::disable())
        .with_state(app);
    surrounded(routes, config)
}

/// What is served while the database's name is being resolved: the process lives, and everything else has to wait.
pub(crate) fn starting(config: &Config) -> Router {
    let routes = Router::new()
        .route(paths::HEALTHCHECK, get(health::alive))
        .route(paths::HEALTHZ, get(health::alive))
        .fallback(not_yet);
    surrounded(routes, config)
}

fn surrounded(routes: Router, config: &Config) -> Router {
    // A layer of a router comes after routing, so the path is rewritten in front of a router around it.
    Router::new()
        .fallback_service(MapRequestLayer::new(paths::normalise).layer(routes))
        .layer(MapRequestLayer::new(linger::linger))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cors::layer(config))
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
