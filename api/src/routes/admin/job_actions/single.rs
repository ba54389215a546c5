//! Retry, discard or cancel one job.

use axum::extract::State;
use messages::JobId;
use store::{Decided, JobRecord, JobState, Outcome, Refused, Retried};
use tracing::Instrument;

use crate::auth::{AdminWriter, ClientAddress};
use crate::http::{Answer, Envelope, PathId, Problem, ProblemKind};
use crate::openapi::{CancelsJob, ChangesThings, NeedsAdmin, NotActedUpon, Refusals, TakesId};
use crate::routes::admin::audited::{Acted, By, audited};
use crate::routes::jobs::cancel::announce;
use crate::routes::jobs::views::JobView;
use crate::state::App;

/// What an admin decides about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Retry,
    Discard,
    Cancel,
}

impl Decision {
    /// As the audit has it. Permanent.
    const fn action(self) -> &'static str {
        match self {
            Self::Retry => "job.retry",
            Self::Discard => "job.discard",
            Self::Cancel => "job.cancel",
        }
    }
}

/// Has a job tried again, at once.
///
/// One that is discarded is redriven: it runs as if it were new. One that waits for its next attempt does not wait any longer. Any other
/// is 409. A second call finds it pending, or due, and changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/admin/jobs/{id}/retry",
    operation_id = "retryJob",
    params(("id" = String, Path, description = "The job's id", format = Uuid)),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The job as it is now", body = Envelope<JobView>),
        Refusals<(NeedsAdmin, TakesId, ChangesThings, NotActedUpon)>,
    ),
)]
pub(super) async fn retry(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathId(id): PathId<JobId>,
) -> Result<Answer<JobView>, Problem> {
    answer(&app, &By::new(&admin, from), id, Decision::Retry).await
}

/// Discards a job that has not ended, whether or not a worker runs it.
///
/// Its code is `by-operator`. The file of an upload is kept for 30 days, in which it may be retried: that undoes this.
#[utoipa::path(
    post,
    path = "/api/v1/admin/jobs/{id}/discard",
    operation_id = "discardJob",
    params(("id" = String, Path, description = "The job's id", format = Uuid)),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The job, which is discarded", body = Envelope<JobView>),
        Refusals<(NeedsAdmin, TakesId, ChangesThings, CancelsJob)>,
    ),
)]
pub(super) async fn discard(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathId(id): PathId<JobId>,
) -> Result<Answer<JobView>, Problem> {
    answer(&app, &By::new(&admin, from), id, Decision::Discard).await
}

/// Cancels anybody's upload that has not ended, as its owner may.
///
/// Nothing undoes this: its file goes.
#[utoipa::path(
    post,
    path = "/api/v1/admin/jobs/{id}/cancel",
    operation_id = "cancelJobOfAnybody",
    params(("id" = String, Path, description = "The job's id", format = Uuid)),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The job, which is cancelled", body = Envelope<JobView>),
        Refusals<(NeedsAdmin, TakesId, ChangesThings, CancelsJob)>,
    ),
)]
pub(super) async fn cancel(
    State(app): State<App>,
    admin: AdminWriter,
    from: ClientAddress,
    PathId(id): PathId<JobId>,
) -> Result<Answer<JobView>, Problem> {
    answer(&app, &By::new(&admin, from), id, Decision::Cancel).await
}

async fn answer(app: &App, by: &By, id: JobId, decision: Decision) -> Result<Answer<JobView>, Problem> {
    let job = decide(app, by, id, decision).await?;
    let asset = match job.asset {
        Some(asset) => app.store.media().find(asset).await?,
        None => None,
    };
    let message = format!("Job is {}", job.state);
    Ok(Answer::ok(JobView::new(app, job, asset.as_ref()), message))
}

/// Decides about a job, for any page. Answers with the job as it is now.
pub(crate) async fn decide(app: &App, by: &By, id: JobId, decision: Decision) -> Result<JobRecord, Problem> {
    let act = by.does_to(decision.action(), "job", &id);
    let of = app.clone();
    audited(app, act, async move {
        let ended = match decision {
            Decision::Retry => return retried(&of, id).await,
            Decision::Discard => of.store.operator().discard(id).await?,
            Decision::Cancel => of.store.operator().cancel(id).await?,
        };
        match ended {
            Decided::Refused(refused) => Err(refusal(refused)),
            Decided::Done { job, outcome } => {
                tidy(&of, outcome);
                Ok(Acted { answer: *job, count: 1 })
            }
        }
    })
    .await
}

async fn retried(app: &App, id: JobId) -> Result<Acted<JobRecord>, Problem> {
    has_its_file(app, id).await?;
    let (job, count) = match app.store.operator().retry(id).await? {
        Retried::Redriven(job) => {
            // The relay does if this fails.
            app.uploads.cancelled(Vec::new(), std::slice::from_ref(&job));
            (job, 1)
        }
        Retried::Hurried(job) => (job, 1),
        Retried::Due(job) => (job, 0),
        Retried::Refused(refused) => return Err(refusal(refused)),
    };
    Ok(Acted { answer: *job, count })
}

/// A discarded upload whose file is gone would fail once more. Only who has its spool can tell.
async fn has_its_file(app: &App, id: JobId) -> Result<(), Problem> {
    let job = app.store.jobs().find(id).await?.filter(|job| job.state == JobState::Discarded);
    let Some(asset) = job.and_then(|job| job.asset) else { return Ok(()) };
    let spooled = app.store.media().find(asset).await?.and_then(|asset| asset.spooled);
    let Some(spooled) = spooled.filter(|spooled| spooled.spool == *app.uploads.spool.id()) else { return Ok(()) };
    match app.uploads.spool.open_file(spooled.file).await {
        Err(spool::Error::Missing { .. }) => {
            let detail = "the job's file is gone from the spool; it has to be uploaded again";
            Err(Problem::new(ProblemKind::NotPossible, detail))
        }
        found => found.map(|_| ()).map_err(Problem::from),
    }
}

/// What is left to do about an outcome.
fn tidy(app: &App, mut outcome: Outcome) {
    app.uploads.cancelled(std::mem::take(&mut outcome.files), &outcome.follow_ups);
    let announcing = announce(app.clone(), outcome.events);
    app.tasks.spawn(announcing.in_current_span());
}

fn refusal(refused: Refused) -> Problem {
    let kind = match refused {
        Refused::Unknown | Refused::Redrive(store::Refusal::Unknown) => ProblemKind::NotFound,
        Refused::NothingToRetry(_) | Refused::Redrive(_) => ProblemKind::NotPossible,
        Refused::NotCancellable => ProblemKind::NotCancellable,
        Refused::Ended(_) => ProblemKind::JobEnded,
    };
    Problem::new(kind, refused.to_string())
}
