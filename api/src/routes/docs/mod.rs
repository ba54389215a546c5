//! This document and the page that shows it.

mod handlers;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi;
use crate::state::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(handlers::document))
        .routes(routes!(handlers::page))
        .routes(routes!(handlers::page_file));
    openapi::tagged("documentation", "This document and the page that shows it", routes)
}
