//! Uploads that are nobody's avatar, and the bytes of every upload.

mod handlers;
mod preview;
mod views;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi;
use crate::state::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new().routes(routes!(handlers::list, handlers::submit)).routes(routes!(preview::show));
    openapi::tagged("media", "Uploads that are nobody's avatar, and the bytes of every upload", routes)
}
