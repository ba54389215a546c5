//! Who subscribes to whom.

mod handlers;
mod views;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi;
use crate::state::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .routes(routes!(handlers::subscribers, handlers::toggle, handlers::subscribe, handlers::unsubscribe))
        .routes(routes!(handlers::channels));
    openapi::tagged("subscriptions", "Who subscribes to whom", routes)
}
