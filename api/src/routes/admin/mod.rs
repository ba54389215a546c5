//! `/api/v1/admin`: what admins see and steer. One file or folder a subject, each with its `router()`.
//!
//! Whoever is no admin is turned away in front of all of it, see [`auth::guard_admins`](crate::auth::guard_admins). Every action
//! goes through [`audited`].

pub(crate) mod audit;
pub(crate) mod audited;
pub(crate) mod channels;
pub(crate) mod cursor;
pub(crate) mod dead_letters;
pub(crate) mod errors;
pub(crate) mod fleet;
pub(crate) mod job_actions;
pub(crate) mod jobs;
pub(crate) mod webhooks;

use utoipa_axum::router::OpenApiRouter;

use crate::openapi;
use crate::state::App;

const ABOUT: &str = "For whoever runs the system: users whom `api admin grant` has made admins. Others get 403, also where there is \
    nothing. Read-only admins may look at everything and change nothing. Every change is in the audit.";

pub(crate) fn router() -> OpenApiRouter<App> {
    let routes = OpenApiRouter::new()
        .merge(audit::router())
        .merge(channels::router())
        .merge(jobs::router())
        .merge(errors::router())
        .merge(fleet::router())
        .merge(dead_letters::router())
        .merge(job_actions::router())
        .merge(webhooks::router());
    openapi::tagged("Admin", ABOUT, routes)
}
