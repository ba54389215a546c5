//! The slow part of what was accepted: `GET /api/v1/jobs`, and `GET` and `DELETE /api/v1/jobs/:id`.

pub(crate) mod cancel;
mod cursor;
mod failures;
mod list;
pub(crate) mod progress;
pub(crate) mod views;
pub(crate) mod waits;

use axum::extract::State;
use messages::JobId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::Caller;
use crate::http::{Answer, Envelope, PathId, Problem, ProblemKind};
use crate::openapi::{self, NeedsUser, Refusals, TakesId};
use crate::state::App;
use views::JobView;

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::tagged(
        "jobs",
        "The slow part of what was accepted",
        OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(show, cancel::cancel)),
    )
}

/// Where a job stands.
///
/// With its attempts, why it waits, and how much of the file the media host has. Another user's job is as unknown as one that does
/// not exist.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}",
    operation_id = "getJob",
    params(("id" = String, Path, description = "The job's id", format = Uuid)),
    security(("cookie" = []), ("bearer" = [])),
    responses((status = 200, description = "The job", body = Envelope<JobView>), Refusals<(NeedsUser, TakesId)>),
)]
async fn show(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    PathId(id): PathId<JobId>,
) -> Result<Answer<JobView>, Problem> {
    let job = app.store.jobs().find(id).await?.filter(|job| job.owner == Some(user.id)).ok_or_else(unknown)?;
    let asset = async {
        match job.asset {
            Some(asset) => app.store.media().find(asset).await,
            None => Ok(None),
        }
    };
    let (asset, waits) = tokio::try_join!(asset, waits::of(&app, &job, "of yours"))?;
    let message = format!("Job is {}", job.state);
    Ok(Answer::ok(JobView::new(&app, job, asset.as_ref()).waiting(waits), message))
}

pub(crate) fn unknown() -> Problem {
    Problem::new(ProblemKind::NotFound, "you have no such job")
}
