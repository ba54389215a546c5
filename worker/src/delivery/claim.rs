//! Claiming the job of a delivery.

use std::sync::Arc;

use broker::{Disposition, Presence};
use messages::JobId;
use store::{Claim, ClaimRequest, Claimed, Discard, Fence, JobRecord, Outcome, Rescue};

use super::isolation::Place;
use super::measure;
use super::record::{discard, retract_crash};
use super::rescue::dead_holder;
use super::settle;
use crate::context::Context;
use crate::error::in_full;
use crate::maintenance::publishing::publish_later;
use crate::retry::Waits;

/// Takes the job, or says what becomes of the delivery instead. `present` tells who is connected, if the broker has delivered
/// the message before: then another worker's claim may be that of a dead one.
pub(super) async fn claim<'a>(
    context: &'a Arc<Context>,
    job: JobId,
    present: Option<&Presence>,
) -> Result<(Claimed, Place<'a>), Disposition> {
    let mut waits = Waits::until(context.settings.database_patience);
    let mut rescue = Rescue::LeaseExpired;
    let mut exclusive = false;
    // Whether a claim of ours may have been made without our knowledge.
    let mut unanswered = false;
    loop {
        let place = place(context, exclusive).await?;
        let claim = match ask(context, job, &rescue, exclusive).await {
            Ok(claim) => claim,
            Err(cause) => {
                unanswered = true;
                wait(context, place, &mut waits, cause).await?;
                continue;
            }
        };
        if unanswered {
            retract_crash(context, job).await;
            unanswered = false;
        }
        match claim {
            Claim::Claimed(claimed) => {
                measure::claimed(&claimed, &rescue);
                return Ok((claimed, place));
            }
            // Our name stands on the job, but this process does not run it: an earlier claim of ours was made although its
            // answer was lost.
            Claim::Busy { worker, .. } if worker == context.worker => match take_up(context, job).await {
                Ok(Some(claimed)) => {
                    measure::claimed(&claimed, &rescue);
                    return Ok((claimed, place));
                }
                Ok(None) => return Err(Disposition::Ack),
                Err(cause) => wait(context, place, &mut waits, cause).await?,
            },
            Claim::Busy { worker, lease_until } => {
                drop(place);
                let asked = matches!(&rescue, Rescue::HolderGone { worker: gone } if *gone == worker);
                let dead = match present {
                    Some(present) if !asked => dead_holder(context, job, &worker, lease_until, present).await,
                    _ => None,
                };
                // It runs elsewhere. If its worker dies after all, that one's own message or the lease brings it back.
                let Some(dead) = dead else { return Err(absorbed()) };
                rescue = dead;
            }
            Claim::LastChance => {
                tracing::warn!("one more crash, and this job is taken to be the cause: it runs alone");
                exclusive = true;
            }
            Claim::Poisoned(poisoned) => match discard_poisoned(context, &poisoned, &rescue).await {
                Ok(outcome) => {
                    measure::poisoned(context, &poisoned, &outcome).await;
                    settle::unlink(context, &outcome).await;
                    publish_later(context, outcome, None);
                    return Err(Disposition::Ack);
                }
                // Its worker lives after all, or another one has discarded it.
                Err(store::Error::Fenced) => return Err(Disposition::Ack),
                Err(cause) => wait(context, place, &mut waits, cause).await?,
            },
            // The relay publishes it again when it is due. Whatever a finished attempt left over, such as a file, is the sweeper's.
            Claim::NotDue { .. } | Claim::Finished(_) => return Err(absorbed()),
            // Jobs are published after they are durable, so this one is from another system or was deleted by hand.
            Claim::Unknown => return Err(Disposition::DeadLetter { reason: format!("there is no job {job}") }),
        }
    }
}

/// The job needs no such delivery.
fn absorbed() -> Disposition {
    meters::DUPLICATES_ABSORBED.add(&["delivery"], 1);
    Disposition::Ack
}

async fn ask(context: &Context, job: JobId, rescue: &Rescue, exclusive: bool) -> Result<Claim, store::Error> {
    let settings = &context.settings;
    let (worker, lease, max_crashes) = (context.worker.as_str(), settings.lease, settings.max_crashes);
    context.store.jobs().claim(job, &ClaimRequest { worker, lease, rescue, max_crashes, exclusive }).await
}

/// Waits for a place among the jobs that run here, or ends the delivery.
async fn place(context: &Context, exclusive: bool) -> Result<Place<'_>, Disposition> {
    match context.stop.soon.run_until_cancelled(context.isolation.place(exclusive)).await {
        Some(Some(place)) => Ok(place),
        Some(None) => {
            tracing::info!("what runs here runs on for too long: the delivery goes back");
            Err(Disposition::Requeue)
        }
        None => Err(Disposition::Requeue),
    }
}

/// Leaves the place and waits before the database is asked again, or ends the delivery.
async fn wait(context: &Context, place: Place<'_>, waits: &mut Waits, cause: store::Error) -> Result<(), Disposition> {
    drop(place);
    if let store::Error::Corrupt { .. } = cause {
        return Err(Disposition::DeadLetter { reason: in_full(&cause) });
    }
    tracing::debug!(cause = in_full(&cause), "cannot claim the job now");
    match context.stop.soon.run_until_cancelled(waits.next()).await {
        Some(true) => return Ok(()),
        // Consuming stops as well until the database answers, so this is no loop of redeliveries.
        Some(false) => tracing::warn!(cause = in_full(&cause), "could not claim the job: its delivery goes back"),
        None => {}
    }
    Err(Disposition::Requeue)
}

/// The job that a claim of ours took although the claim's answer was lost. `None`: it is not ours any more.
async fn take_up(context: &Context, job: JobId) -> Result<Option<Claimed>, store::Error> {
    let Some(record) = context.store.jobs().find(job).await? else { return Ok(None) };
    if record.worker.as_deref() != Some(&context.worker) {
        return Ok(None);
    }
    match context.store.jobs().renew(job, record.attempt, context.settings.lease).await {
        Ok(()) => Ok(Some(Claimed { attempt: record.attempt, job: Arc::new(record) })),
        Err(store::Error::Fenced) => Ok(None),
        Err(cause) => Err(cause),
    }
}

async fn discard_poisoned(
    context: &Arc<Context>,
    job: &Arc<JobRecord>,
    rescue: &Rescue,
) -> Result<Outcome, store::Error> {
    tracing::error!(crashes = job.crashes + 1, "one crash too many: discarding the job as their cause");
    let fence = Fence::Abandoned { attempt: job.attempt, rescue: rescue.clone() };
    discard(context, job, fence, Discard::poisoned(job)).await
}
