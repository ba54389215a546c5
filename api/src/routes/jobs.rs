//! `GET /api/v1/jobs/:id`.

use axum::extract::State;
use messages::JobId;

use crate::App;
use crate::answer::Answer;
use crate::auth::SignedIn;
use crate::path_id::PathId;
use crate::problem::{Problem, ProblemKind};
use crate::views::JobView;

/// Where a job stands. Another user's job is as unknown as one that does not exist.
pub(crate) async fn show(
    State(app): State<App>,
    SignedIn(user): SignedIn,
    PathId(id): PathId<JobId>,
) -> Result<Answer<JobView>, Problem> {
    let unknown = || Problem::new(ProblemKind::NotFound, "you have no such job");
    let job = app.store().find_job(id).await?.filter(|job| job.owner == Some(user.id)).ok_or_else(unknown)?;
    let message = format!("Job is {}", job.state);
    Ok(Answer::ok(JobView::new(&app, job), message))
}
