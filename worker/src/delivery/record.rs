//! Making an attempt's outcome durable. Nothing that the outcome allows (removing the file, acknowledging) happens before.

use broker::Disposition;
use crash_points::Point;
use messages::{Event, FileId, Job, JobId, UploadMedia};
use store::{Claimed, JobRecord, Outcome};
use time::OffsetDateTime;

use super::attempt::Ended;
use super::policy::{self, Verdict};
use super::settle::Settlement;
use crate::context::Context;
use crate::error::{JobError, in_full};
use crate::jobs::Done;
use crate::patience::Patience;

/// What is left to do once the outcome is durable.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    /// Nothing needs this file any more.
    pub file: Option<FileId>,
    /// Jobs that the outcome brought about.
    pub follow_ups: Vec<JobRecord>,
    /// The news it makes.
    pub event: Option<Event>,
}

impl Aftermath {
    /// What an outcome leaves to do. Its news gives the reason.
    pub(crate) fn of(job: &JobRecord, outcome: Outcome, reason: Option<&str>) -> Self {
        let event = policy::event(job, &outcome, reason);
        Self { file: outcome.file, follow_ups: outcome.follow_ups, event }
    }
}

/// Records how an attempt ended. `None`: nothing could be recorded, the delivery must come again.
///
/// An outcome is never given up because the database is away: the work is done, and doing it again would cost more than
/// waiting. After a while the delivery goes back, so that RabbitMQ does not take the consumer for dead (it does after 30
/// minutes), and the waiting goes on without it.
pub(crate) async fn record(
    context: &Context,
    claimed: &Claimed,
    ended: Ended,
    held: &mut Settlement,
) -> Option<Aftermath> {
    let policy = &context.settings.retry;
    let mut verdict = match ended {
        Ended::Fenced => return Some(overtaken(context, claimed, None).await),
        Ended::Stopped => return release(context, claimed).await,
        Ended::Unfinished => Verdict::GoOn,
        Ended::Result(result) => policy::on_result(result, &claimed.job, policy, OffsetDateTime::now_utc()),
    };
    let mut patience = Patience::new(context.settings.database_patience);
    loop {
        let cause = match write(context, claimed, &verdict).await {
            Ok(aftermath) => return Some(aftermath),
            Err(store::Error::Fenced) => return Some(overtaken(context, claimed, Some(&verdict)).await),
            Err(cause) => cause,
        };
        if cause.is_transient() {
            tracing::warn!(%cause, "cannot record the outcome now, waiting for the database");
        } else if let Verdict::Retry(_) = verdict {
            // The job keeps its lease until that runs out; the relay brings it back, and its crashes are counted.
            tracing::error!(cause = in_full(&cause), "the outcome cannot be recorded");
            return Some(Aftermath::default());
        } else {
            let error = JobError::from(cause);
            tracing::error!(?error, "the outcome cannot be recorded, putting the job off");
            verdict = policy::on_result(Err(error), &claimed.job, policy, OffsetDateTime::now_utc());
            continue;
        }
        match context.stop.now.run_until_cancelled(patience.wait()).await {
            Some(true) => {}
            Some(false) => {
                held.settle(Disposition::Requeue).await;
                patience = Patience::new(context.settings.database_patience);
            }
            None => return None,
        }
    }
}

async fn write(context: &Context, claimed: &Claimed, verdict: &Verdict) -> Result<Aftermath, store::Error> {
    let (store, job) = (&context.store, &claimed.job);
    let (id, attempt) = (job.id, claimed.attempt);
    let (outcome, reason) = match verdict {
        Verdict::Done(Done::Uploaded { asset, stored, .. }) => {
            (store.media().complete_upload(id, attempt, *asset, stored.clone()).await?, None)
        }
        Verdict::Done(Done::Superseded { asset }) => {
            (store.media().cancel_superseded(id, attempt, *asset).await?, None)
        }
        Verdict::Done(Done::Deleted { asset }) => (store.media().complete_delete(id, attempt, *asset).await?, None),
        Verdict::Done(Done::Recompute { recount }) => {
            (store.counters().complete(id, attempt, recount, &context.settings.pace).await?, None)
        }
        Verdict::GoOn => {
            // The relay publishes it at once. This delivery has been held for long enough.
            store.jobs().release(id, attempt).await?;
            tracing::info!(job.attempt = attempt, "put down, to go on where it is");
            return Ok(Aftermath::default());
        }
        Verdict::Discard { reason, replayable } => {
            (store.media().discard(id, attempt, reason, *replayable).await?, Some(reason.as_str()))
        }
        Verdict::Retry(retry) => {
            let outcome = store.media().retry(id, attempt, retry).await?;
            tracing::warn!(job.attempt = attempt, job.state = %outcome.state, job.run_at = %retry.run_at, cause = retry.error, "put off");
            return Ok(Aftermath::of(job, outcome, Some(&retry.error)));
        }
    };
    match reason {
        Some(reason) => tracing::error!(job.attempt = attempt, job.state = %outcome.state, reason, "given up"),
        None => tracing::info!(job.attempt = attempt, job.state = %outcome.state, "done"),
    }
    Ok(Aftermath::of(job, outcome, reason))
}

/// The job is not ours any more: its successor records what becomes of it. Or it is we ourselves who did, in a commit whose
/// answer was lost: then nobody needs the file, and nobody else knows.
async fn overtaken(context: &Context, claimed: &Claimed, verdict: Option<&Verdict>) -> Aftermath {
    tracing::warn!(job.attempt = claimed.attempt, "another attempt has taken over, or this one's outcome is recorded");
    deny_crashes(context, claimed.job.id).await;
    let follow_ups = leftovers(context, &claimed.job).await;
    let Some(Verdict::Done(Done::Uploaded { file, .. })) = verdict else {
        return Aftermath { follow_ups, ..Aftermath::default() };
    };
    let unneeded = context.store.media().files_in_use(&[*file]).await.is_ok_and(|needed| !needed.contains(file));
    Aftermath { file: unneeded.then_some(*file), follow_ups, event: None }
}

/// Has deleted what an upload that was overtaken may have stored, if nothing shows it: whoever deleted it, its successor or a newer
/// upload, may have done so before we stored it again.
async fn leftovers(context: &Context, job: &JobRecord) -> Vec<JobRecord> {
    let Ok(Job::UploadMedia(UploadMedia { asset, .. })) = job.job() else { return Vec::new() };
    let mut patience = Patience::new(context.settings.database_patience);
    loop {
        let cause = match context.store.media().delete_leftovers(asset).await {
            Ok(deletion) => return deletion.into_iter().collect(),
            Err(cause) => cause,
        };
        if !cause.is_transient() || context.stop.now.run_until_cancelled(patience.wait()).await != Some(true) {
            tracing::warn!(cause = in_full(&cause), %asset, "what this attempt may have stored stays at the media host");
            return Vec::new();
        }
    }
}

/// Takes back that this worker vanished, if that was counted against the job. Whoever says so lives.
pub(crate) async fn deny_crashes(context: &Context, job: JobId) {
    match context.store.jobs().retract_crash(job, &context.worker).await {
        Ok(true) => tracing::warn!("this worker was taken to have vanished, and has not: no crash of the job's"),
        Ok(false) => {}
        Err(cause) => {
            tracing::warn!(%cause, "this worker was perhaps taken to have vanished, which stands for a crash");
        }
    }
}

/// Leaves the job to another worker. If the database does not take it, the broker's redelivery or the lease does.
async fn release(context: &Context, claimed: &Claimed) -> Option<Aftermath> {
    match context.store.jobs().release(claimed.job.id, claimed.attempt).await {
        Ok(()) => {
            tracing::info!(job.attempt = claimed.attempt, "released");
            crash_points::reach_with(Point::WorkerReleased, &[&claimed.job.id]);
        }
        Err(cause) => tracing::warn!(%cause, job.attempt = claimed.attempt, "could not be released"),
    }
    None
}
