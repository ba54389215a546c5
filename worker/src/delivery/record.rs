//! Making an attempt's outcome durable. Nothing that the outcome allows (removing the file, acknowledging) happens before.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use broker::Disposition;
use crash_points::Point;
use messages::JobId;
use store::{Claimed, Controlled, Discard, Fence, JobRecord, JobState, Outcome, Record};
use tokio::time::sleep;

use super::measure;
use super::policy::{self, Verdict};
use super::settle::Settlement;
use crate::context::Context;
use crate::error::{JobError, in_full};
use crate::jobs::{self, Discarded};
use crate::retry::Waits;

/// Records how an attempt ended that was `begun` then. An error: nothing could be recorded, and that is what becomes of the delivery.
///
/// An outcome is never dropped because the database is away: the work is done, and doing it again would cost more than
/// waiting. After a while the delivery is requeued, so that RabbitMQ does not take the consumer for dead (it does after 30
/// minutes), and the waiting goes on without it.
pub(super) async fn record(
    context: &Arc<Context>,
    claimed: &Claimed,
    mut verdict: Verdict,
    delivery: &mut Settlement,
    begun: Instant,
) -> Result<Outcome, Disposition> {
    if let Verdict::Stopped = verdict {
        release(context, claimed, begun).await;
        return Err(Disposition::Requeue);
    }
    let mut waits = Waits::until(context.settings.database_patience);
    loop {
        let cause = match keeping(context, claimed, write(context, claimed, &verdict)).await {
            Ok(outcome) => {
                measure::recorded(context, claimed, &verdict, &outcome, begun).await;
                if let Verdict::Paused = verdict {
                    resume_if_unpaused(context, claimed).await;
                }
                return Ok(outcome);
            }
            Err(store::Error::Fenced) => return Ok(overtaken(context, claimed, &verdict, begun).await),
            Err(cause) => cause,
        };
        if !cause.is_transient() && !matches!(verdict, Verdict::Retry(_)) {
            let error = JobError::from(cause);
            tracing::error!(?error, "the outcome cannot be recorded: retrying the job later");
            let retry = jobs::handler(&claimed.job.kind).map(|handler| handler.retry(&context.settings));
            verdict = policy::on_error(error, &claimed.job, retry.unwrap_or(&context.settings.retry));
            continue;
        }
        tracing::warn!(cause = in_full(&cause), "cannot record the outcome now, waiting for the database");
        keep(context, claimed).await;
        match context.stop.now.run_until_cancelled(waits.next()).await {
            Some(true) => {}
            Some(false) => {
                delivery.settle(Disposition::Requeue).await;
                waits = Waits::until(context.settings.database_patience);
            }
            None => return Err(Disposition::Requeue),
        }
    }
}

/// Whether the owner of a job is paused, as far as this worker was told.
pub(super) fn is_paused(context: &Context, claimed: &Claimed) -> bool {
    let Some(owner) = claimed.job.owner else { return false };
    context.orders.borrow().as_ref().is_some_and(|orders| orders.users.contains(&owner))
}

/// Lets a job go on that was held for a user who is paused no more. Without an answer it is claimed again in a day.
async fn resume_if_unpaused(context: &Context, claimed: &Claimed) {
    let Some(owner) = claimed.job.owner else { return };
    let resumed = async {
        match context.store.controls().find(&Controlled::User(owner)).await? {
            Some(_) => Ok(0),
            None => {
                context.orders.send_if_modified(|orders| orders.get_or_insert_default().users.remove(&owner));
                context.store.jobs().resume_held(owner).await
            }
        }
    };
    match resumed.await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "its owner is not paused any more"),
        Err(cause) => tracing::warn!(cause = in_full(&cause), "cannot look now whether its owner is still paused"),
    }
}

/// Keeps the claim of a job whose outcome has to wait. A lease that ran out would count as a crash, which this is not.
async fn keep(context: &Context, claimed: &Claimed) {
    if let Err(cause) = context.store.jobs().renew(claimed.job.id, claimed.attempt, context.settings.lease).await {
        tracing::debug!(cause = in_full(&cause), "cannot renew the lease now");
    }
}

async fn keep_on(context: &Context, claimed: &Claimed) -> Infallible {
    loop {
        sleep(context.settings.lease / 3).await;
        keep(context, claimed).await;
    }
}

/// Keeps the claim as long as something takes: the outcomes of several jobs share transactions, and one may have to wait.
async fn keeping<T>(context: &Context, claimed: &Claimed, work: impl Future<Output = T>) -> T {
    // Side by side: what is renewed may be locked by the work.
    tokio::select! {
        done = work => done,
        never = keep_on(context, claimed) => match never {},
    }
}

async fn write(context: &Arc<Context>, claimed: &Claimed, verdict: &Verdict) -> Result<Outcome, store::Error> {
    let (jobs, job, attempt) = (context.store.jobs(), &claimed.job, claimed.attempt);
    let fence = Fence::Attempt(attempt);
    let outcome = match verdict {
        Verdict::Done(done) => jobs.settle(job, fence, Arc::clone(done) as Arc<dyn Record>).await?,
        Verdict::Discard { code, reason, replayable } => {
            discard(context, job, fence, Discard::new(*code, reason.clone(), *replayable)).await?
        }
        Verdict::Retry(retry) => match jobs.retry(job, retry).await? {
            true => {
                tracing::warn!(job.attempt = attempt, after = ?retry.after, cause = retry.error, "to be retried");
                Outcome::of(JobState::Retryable)
            }
            false => discard(context, job, fence, Discard::out_of_attempts(retry)).await?,
        },
        // The relay publishes it at once. This delivery has been held for long enough.
        Verdict::GoOn => {
            jobs.release(job.id, attempt).await?;
            Outcome::of(JobState::Retryable)
        }
        Verdict::Paused => {
            jobs.hold(job.id, attempt).await?;
            Outcome::of(JobState::Retryable)
        }
        Verdict::Stopped | Verdict::Overtaken => return Err(store::Error::Fenced),
    };
    tracing::info!(job.attempt = attempt, job.state = %outcome.state, "recorded");
    Ok(outcome)
}

/// Ends a job that can never succeed, or that has had all its chances.
pub(super) async fn discard(
    context: &Arc<Context>,
    job: &Arc<JobRecord>,
    fence: Fence,
    discard: Discard,
) -> Result<Outcome, store::Error> {
    let reason = discard.reason.clone();
    let discarded = Arc::new(Discarded { context: Arc::clone(context), discard });
    let outcome = context.store.jobs().settle(job, fence, discarded).await?;
    tracing::error!(job.attempt = job.attempt, reason, "discarded");
    Ok(outcome)
}

/// The job is not ours any more: its successor records what becomes of it, or its owner has cancelled it. Or it is we ourselves who
/// did, in a commit whose answer was lost; the relay publishes what that brought about.
async fn overtaken(context: &Arc<Context>, claimed: &Claimed, verdict: &Verdict, begun: Instant) -> Outcome {
    if was_cancelled(context, claimed).await {
        tracing::info!(job.attempt = claimed.attempt, "the job was cancelled while it ran");
        let cancelled = Outcome::of(JobState::Cancelled);
        measure::recorded(context, claimed, verdict, &cancelled, begun).await;
    } else {
        tracing::warn!(
            job.attempt = claimed.attempt,
            "another attempt has taken over, or this one's outcome is recorded"
        );
        retract_crash(context, claimed.job.id).await;
    }
    match (verdict, jobs::handler(&claimed.job.kind)) {
        (Verdict::Done(done), _) => done.overtaken().await,
        (_, Some(handler)) => handler.stopped(Arc::clone(context), claimed.job.clone()).await,
        (_, None) => Outcome::of(claimed.job.state),
    }
}

/// Whether the job was cancelled and this attempt was its last. In doubt it was not.
async fn was_cancelled(context: &Context, claimed: &Claimed) -> bool {
    let found = context.store.jobs().find(claimed.job.id).await.ok().flatten();
    found.is_some_and(|job| job.state == JobState::Cancelled && job.attempt == claimed.attempt)
}

/// Takes back that this worker vanished, if that was counted against the job. Whoever says so lives.
pub(super) async fn retract_crash(context: &Context, job: JobId) {
    match context.store.jobs().retract_crash(job, &context.worker).await {
        Ok(true) => {
            meters::CRASHES_DENIED.add(&[], 1);
            tracing::warn!("this worker was taken to have vanished, and has not: no crash of the job's");
        }
        Ok(false) => {}
        Err(cause) => {
            tracing::warn!(%cause, "this worker was perhaps taken to have vanished, which stands for a crash");
        }
    }
}

/// Leaves the job to another worker. If the database does not take it, the broker's redelivery or the lease does.
async fn release(context: &Context, claimed: &Claimed, begun: Instant) {
    match context.store.jobs().release(claimed.job.id, claimed.attempt).await {
        Ok(()) => {
            measure::released(claimed, begun);
            tracing::info!(job.attempt = claimed.attempt, "released");
            crash_points::reach_with(Point::WorkerReleased, &[&claimed.job.id]);
        }
        Err(cause) => tracing::warn!(%cause, job.attempt = claimed.attempt, "could not be released"),
    }
}
