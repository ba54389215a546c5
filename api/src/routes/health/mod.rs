//! Whether the program and what it depends on are there.

pub(crate) mod handlers;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi;
use crate::state::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(handlers::healthcheck))
        .routes(routes!(handlers::alive))
        .routes(routes!(handlers::ready));
    openapi::tagged("health", "Whether the program and what it depends on are there", routes)
}
