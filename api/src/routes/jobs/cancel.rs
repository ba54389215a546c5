//! `DELETE /api/v1/jobs/:id`: its owner does not want an upload any more.

use axum::extract::State;
use messages::{EventMessage, JobId, UserId};
use store::{Cancel, CancelRefusal, Cancelled};
use tracing::Instrument;

use super::views::JobView;
use crate::auth::Caller;
use crate::http::{Answer, Envelope, PathId, Problem, ProblemKind};
use crate::openapi::{CancelsJob, ChangesThings, NeedsUser, Refusals, TakesId};
use crate::state::App;

/// Cancels an upload that has not ended.
///
/// It is cancelled when this answers, also while a worker runs it, which stops within a second. The file goes, and so does what is at the
/// media host by then; an avatar or cover image is what it was before. If it ends at the same time, one of the two wins: the answer is
/// 409 `job-ended` with the state that it has.
///
/// Only uploads are cancelled: other jobs are 409 `not-cancellable`. Another user's job is as unknown as one that does not exist.
#[utoipa::path(
    delete,
    path = "/api/v1/jobs/{id}",
    operation_id = "cancelJob",
    params(("id" = String, Path, description = "The job's id", format = Uuid)),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The job, which is cancelled", body = Envelope<JobView>),
        Refusals<(NeedsUser, TakesId, ChangesThings, CancelsJob)>,
    ),
)]
pub(super) async fn cancel(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    PathId(id): PathId<JobId>,
) -> Result<Answer<JobView>, Problem> {
    // In a task of its own: a transaction whose client goes away must not stay open until it times out, and what it leaves to do is
    // done in any case.
    let cancelling = app.tasks.spawn(end(app.clone(), user.id, id).in_current_span());
    let Cancelled { job, asset, .. } = cancelling.await.map_err(Problem::internal)??;
    Ok(Answer::ok(JobView::new(&app, job, asset.as_ref()), "Job is cancelled"))
}

async fn end(app: App, owner: UserId, id: JobId) -> Result<Cancelled, Problem> {
    let mut cancelled = match app.store.media().cancel(owner, id).await? {
        Cancel::Done(cancelled) => *cancelled,
        Cancel::Refused(refusal) => return Err(Problem::new(kind(refusal), refusal.to_string())),
    };
    tracing::info!(job.id = %id, attempt = cancelled.job.attempt, "cancelled by its owner");
    let outcome = &mut cancelled.outcome;
    app.uploads.cancelled(std::mem::take(&mut outcome.files), &outcome.follow_ups);
    let announcing = announce(app.clone(), std::mem::take(&mut outcome.events));
    app.tasks.spawn(announcing.in_current_span());
    Ok(cancelled)
}

const fn kind(refusal: CancelRefusal) -> ProblemKind {
    match refusal {
        CancelRefusal::Unknown => ProblemKind::NotFound,
        CancelRefusal::NotAnUpload => ProblemKind::NotCancellable,
        CancelRefusal::Ended(_) => ProblemKind::JobEnded,
    }
}

/// Publishes what has happened, and has webhooks sent of it. The relay does if this fails, and once more if it is not noted.
pub(crate) async fn announce(app: App, events: Vec<EventMessage>) {
    for message in events {
        let kind = message.event.kind();
        if let Err(error) = app.publisher.publish_event(&message).await {
            tracing::debug!(event = kind, error = &error as &dyn std::error::Error, "not published; left to the relay");
            continue;
        }
        match app.store.webhooks().note_published(&[message.id]).await {
            Ok(deliveries) => app.uploads.publish(&deliveries),
            Err(error) => {
                tracing::debug!(event = kind, error = &error as &dyn std::error::Error, "published, but not noted");
            }
        }
    }
}
