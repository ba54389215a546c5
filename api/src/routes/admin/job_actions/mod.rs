//! `/api/v1/admin/jobs/{id}/…` and `/api/v1/admin/jobs/actions`: what an admin decides about one job, and about all that match.

pub(crate) mod bulk;
pub(crate) mod bulk_views;
pub(crate) mod single;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(single::retry))
        .routes(routes!(single::discard))
        .routes(routes!(single::cancel))
        .routes(routes!(bulk::list, bulk::start))
        .routes(routes!(bulk::show))
        .routes(routes!(bulk::stop))
}
