//! One delivery from its arrival to its settlement: decode, claim, perform, record, unlink, settle. The acknowledgement comes
//! last, so whatever dies in between is done again, and the claim sees to it that nothing is done twice.

use std::sync::Arc;
use std::time::Duration;

use broker::{Delivery, Disposition, Presence};
use crash_points::Point;
use messages::{Envelope, JobId};
use store::{Claimed, Rescue};
use tokio::time::Instant;
use tracing::Instrument;

use crate::company::Place;
use crate::context::Context;
use crate::decide::{self, Next};
use crate::error::in_full;
use crate::patience::Patience;
use crate::record::{self, Aftermath};
use crate::rescue::Search;
use crate::{attempt, relay, worker};

/// How old a delivery may be when its work begins, where attempts are not very short. One that has waited longer, for an
/// earlier delivery of its job, goes back and comes as a new one: the broker counts from its arrival how long it is held.
const FRESH: Duration = Duration::from_secs(60);

/// A claim takes milliseconds, unless somebody who is gone has the job locked.
const LONG_FOR_A_CLAIM: Duration = Duration::from_millis(200);

/// A delivery that may have to be let go before its work is done.
pub(crate) struct Held {
    delivery: Option<Delivery>,
}

impl Held {
    /// Settles the delivery, unless that has been done.
    pub(crate) async fn settle(&mut self, disposition: Disposition) {
        let Some(delivery) = self.delivery.take() else { return };
        tracing::trace!(?disposition, "settling");
        if let Err(cause) = delivery.settle(disposition).await {
            // The broker delivers it again; the claim tells that delivery what has become of the job.
            tracing::debug!(%cause, "the delivery could not be settled");
        }
    }
}

/// How a delivery ends, and what is left to do afterwards.
struct Ending {
    disposition: Disposition,
    aftermath: Aftermath,
}

impl From<Disposition> for Ending {
    fn from(disposition: Disposition) -> Self {
        Self { disposition, aftermath: Aftermath::default() }
    }
}

/// Handles a delivery. Never fails: whatever happens, the delivery is settled or comes again.
pub(crate) async fn handle(context: Arc<Context>, presence: Presence, delivery: Delivery) {
    let redelivered = delivery.redelivered;
    let envelope = match decide::on_body(&delivery.body) {
        Ok(envelope) => envelope,
        Err(disposition) => {
            tracing::warn!(?disposition, "a message cannot be understood");
            return Held { delivery: Some(delivery) }.settle(disposition).await;
        }
    };
    crash_points::reach_with(Point::WorkerDecoded, &[&envelope.job_id, &envelope.job.kind()]);
    // Of the highest level, so that no filter that shows any line hides whose it is.
    let span = tracing::error_span!(
        "job",
        job.id = %envelope.job_id,
        job.kind = envelope.job.kind(),
        request_id = envelope.request_id.as_deref(),
        traceparent = envelope.traceparent.as_deref()
    );
    let holders = redelivered.then_some(presence);
    let held = Held { delivery: Some(delivery) };
    handle_job(&context, &envelope, held, holders).instrument(span).await;
}

async fn handle_job(context: &Arc<Context>, envelope: &Envelope, mut held: Held, holders: Option<Presence>) {
    let job = envelope.job_id;
    let arrived = Instant::now();
    let taken = context.stop.soon.run_until_cancelled(context.in_hand.take(job)).await;
    let fresh = taken.filter(|_| arrived.elapsed() < FRESH.min(context.settings.attempt_limit / 2));
    let Some(hand) = fresh else { return held.settle(Disposition::Requeue).await };
    let ending = process(context, job, &mut held, holders).await;
    held.settle(ending.disposition).await;
    crash_points::reach_with(Point::WorkerSettled, &[&job, &envelope.job.kind()]);
    drop(hand);
    finish(context, ending.aftermath).await;
}

async fn process(context: &Arc<Context>, job: JobId, held: &mut Held, holders: Option<Presence>) -> Ending {
    let (claimed, place) = match claim(context, job, holders).await {
        Ok(claimed) => claimed,
        Err(ending) => return ending,
    };
    tracing::debug!(job.attempt = claimed.attempt, worker = context.worker, "claimed");
    reach(Point::WorkerClaimed, &claimed);
    let ended = attempt::run(context, &claimed).await;
    reach(Point::WorkerPerformed, &claimed);
    let recorded = record::record(context, &claimed, ended, held).await;
    // From here on a crash is not counted against the job.
    drop(place);
    let Some(aftermath) = recorded else { return Disposition::Requeue.into() };
    reach(Point::WorkerRecorded, &claimed);
    unlink(context, &aftermath).await;
    reach(Point::WorkerUnlinked, &claimed);
    Ending { disposition: Disposition::Ack, aftermath }
}

/// Removes the file that nothing needs any more. Only when the outcome is durable.
async fn unlink(context: &Context, aftermath: &Aftermath) {
    let Some(file) = aftermath.file else { return };
    if let Err(cause) = context.spool.remove(file).await {
        tracing::warn!(%cause, "the file stays until it is swept");
    }
}

fn reach(point: Point, claimed: &Claimed) {
    crash_points::reach_with(point, &[&claimed.job.id, &claimed.job.kind]);
}

/// Takes the job, or says what becomes of the delivery instead. `holders` tells who is connected, if the broker has delivered
/// the message before: then another worker's claim may be that of a dead one.
async fn claim<'a>(
    context: &'a Context,
    job: JobId,
    holders: Option<Presence>,
) -> Result<(Claimed, Place<'a>), Ending> {
    let settings = &context.settings;
    let mut patience = Patience::new(settings.database_patience);
    let mut rescue = Rescue::LeaseExpired;
    let mut alone = false;
    // Whether a claim of ours may have been made without our knowledge.
    let mut unanswered = false;
    loop {
        let place = place(context, alone).await?;
        let (worker, lease, crashes) = (&context.worker, settings.lease, settings.max_crashes);
        let claim = async {
            match alone {
                true => context.store.claim(job, worker, lease, &rescue, crashes).await,
                false => context.store.claim_beside_others(job, worker, lease, &rescue, crashes).await,
            }
        };
        let claim = match &rescue {
            Rescue::LeaseExpired => claim.await,
            Rescue::HolderGone { worker } => unlocked(context, worker, claim).await,
        };
        let next = match claim {
            Ok(claim) => decide::on_claim(job, claim, &context.worker, holders.is_some()),
            Err(cause) => {
                unanswered = true;
                drop(place);
                wait(context, &mut patience, cause).await?;
                continue;
            }
        };
        if unanswered {
            record::deny_crashes(context, job).await;
            unanswered = false;
        }
        match next {
            Next::Perform(claimed) => return Ok((claimed, place)),
            Next::TakeUp => match take_up(context, job).await {
                Ok(Some(claimed)) => return Ok((claimed, place)),
                Ok(None) => return Err(Disposition::Ack.into()),
                Err(cause) => {
                    drop(place);
                    wait(context, &mut patience, cause).await?;
                }
            },
            Next::AskForHolder { holder, lease_until } => {
                drop(place);
                let asked = matches!(&rescue, Rescue::HolderGone { worker } if *worker == holder);
                let search = Search { context, job, holder: &holder, lease_until };
                if asked || !search.finds_nobody(holders.as_ref()).await {
                    // It runs elsewhere. If its worker dies after all, the lease brings it back.
                    return Err(Disposition::Ack.into());
                }
                tracing::info!(holder, "the worker that held the job is gone: taking over");
                rescue = Rescue::HolderGone { worker: holder };
            }
            Next::RunAlone => {
                tracing::warn!("one more crash, and this job is taken to be the cause: it runs alone");
                alone = true;
            }
            Next::Poisoned { job, outcome } => {
                tracing::error!(crashes = job.crashes, reason = job.reason, job.state = %job.state, "the job is given up");
                let aftermath = Aftermath::of(&job, outcome, job.reason.as_deref());
                unlink(context, &aftermath).await;
                return Err(Ending { disposition: Disposition::Ack, aftermath });
            }
            Next::Settle(disposition) => {
                tracing::debug!(?disposition, "nothing to do for this delivery");
                return Err(disposition.into());
            }
        }
    }
}

/// Waits for a claim, and if that takes long ends what the dead holder had open in the database, which may be in its way.
async fn unlocked<T>(context: &Context, holder: &str, claim: impl Future<Output = T>) -> T {
    let mut claim = std::pin::pin!(claim);
    if let Ok(answer) = tokio::time::timeout(LONG_FOR_A_CLAIM, &mut claim).await {
        return answer;
    }
    match context.store.end_transactions_of(&worker::application(holder)).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(holder, count, "ended what it had left open in the database"),
        Err(cause) => tracing::debug!(%cause, holder, "what it had left open in the database ends by itself"),
    }
    claim.await
}

/// Waits for a place among the jobs that run here, or ends the delivery.
async fn place(context: &Context, alone: bool) -> Result<Place<'_>, Ending> {
    match context.stop.soon.run_until_cancelled(context.company.place(alone)).await {
        Some(Some(place)) => Ok(place),
        Some(None) => {
            tracing::info!("what runs here runs on for too long: the delivery goes back");
            Err(Disposition::Requeue.into())
        }
        None => Err(Disposition::Requeue.into()),
    }
}

/// Waits before the database is asked again, or ends the delivery.
async fn wait(context: &Context, patience: &mut Patience, cause: store::Error) -> Result<(), Ending> {
    if let store::Error::Corrupt { .. } = cause {
        return Err(Disposition::DeadLetter { reason: in_full(&cause) }.into());
    }
    tracing::debug!(cause = in_full(&cause), "cannot claim the job now");
    match context.stop.soon.run_until_cancelled(patience.wait()).await {
        Some(true) => return Ok(()),
        // Consuming stops as well until the database answers, so this is no loop of redeliveries.
        Some(false) => tracing::warn!(cause = in_full(&cause), "could not claim the job: its delivery goes back"),
        None => {}
    }
    Err(Disposition::Requeue.into())
}

/// The job that a claim of ours took although the claim's answer was lost. `None`: it is not ours any more.
async fn take_up(context: &Context, job: JobId) -> Result<Option<Claimed>, store::Error> {
    let Some(record) = context.store.find_job(job).await? else { return Ok(None) };
    if record.worker.as_deref() != Some(&context.worker) {
        return Ok(None);
    }
    match context.store.renew(job, record.attempt, context.settings.lease).await {
        Ok(()) => Ok(Some(Claimed { attempt: record.attempt, job: record })),
        Err(store::Error::Fenced) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// What need not be durable or is so already: a crash in between costs an event, or leaves a job to the relay.
async fn finish(context: &Context, aftermath: Aftermath) {
    for job in aftermath.follow_ups {
        relay::publish_record(&context.publisher, &context.store, &job).await;
    }
    if let Some(event) = aftermath.event
        && let Err(cause) = context.publisher.publish_event(&event).await
    {
        tracing::debug!(%cause, event = event.kind(), "nobody is told of this event");
    }
}
