//! `GET /api/v1/jobs/:id`.

use axum::extract::State;
use messages::JobId;

use crate::auth::Caller;
use crate::http::params::PathId;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::response::{Answer, Envelope};
use crate::openapi::{NeedsUser, Refusals, TakesId};
use crate::routes::jobs::views::JobView;
use crate::state::App;

/// Where a job stands.
///
/// Another user's job is as unknown as one that does not exist.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}",
    operation_id = "getJob",
    params(("id" = String, Path, description = "The job's id", format = Uuid)),
    security(("cookie" = []), ("bearer" = [])),
    responses((status = 200, description = "The job", body = Envelope<JobView>), Refusals<(NeedsUser, TakesId)>),
)]
pub(crate) async fn show(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    PathId(id): PathId<JobId>,
) -> Result<Answer<JobView>, Problem> {
    let unknown = || Problem::new(ProblemKind::NotFound, "you have no such job");
    let job = app.store.jobs().find(id).await?.filter(|job| job.owner == Some(user.id)).ok_or_else(unknown)?;
    let message = format!("Job is {}", job.state);
    Ok(Answer::ok(JobView::new(&app, job), message))
}
