//! The slow part of what was accepted.

mod handlers;
pub(crate) mod views;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi;
use crate::state::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new().routes(routes!(handlers::show));
    openapi::tagged("jobs", "The slow part of what was accepted", routes)
}
