//! Users as others see them.

mod handlers;
mod views;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi;
use crate::state::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new().routes(routes!(handlers::show));
    openapi::tagged("channels", "Users as others see them", routes)
}
