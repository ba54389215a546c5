//! `/api/v1/admin/jobs/{id}/…`: what an admin decides about one job.

pub(crate) mod single;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(single::retry)).routes(routes!(single::discard)).routes(routes!(single::cancel))
}
