//! The fleet: what waits and what has ended, which workers there are, and what they are told.

pub(crate) mod alerts;
pub(crate) mod controls;
pub(crate) mod counters;
mod figures;
pub(crate) mod overview;
pub(crate) mod queues;
pub(crate) mod users;
pub(crate) mod workers;

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(overview::router())
        .merge(queues::router())
        .merge(users::router())
        .merge(workers::router())
        .merge(counters::router())
}
