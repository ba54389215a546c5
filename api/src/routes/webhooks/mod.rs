//! What others tell us by calling: `POST /api/v1/webhooks/cloudinary`.

mod cloudinary;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi;
use crate::state::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new().routes(routes!(cloudinary::receive));
    openapi::tagged("webhooks", "For the media host", routes)
}
