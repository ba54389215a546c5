//! Claiming the job of a delivery.

use broker::{Disposition, Presence};
use messages::JobId;
use store::{ClaimRequest, Claimed, Error, Rescue};

use super::isolation::Place;
use super::policy::{self, Next};
use super::record::{self, Aftermath};
use super::rescue::{Search, unlocked};
use super::settle::{Ending, unlink};
use crate::context::Context;
use crate::error::in_full;
use crate::patience::Patience;

/// Takes the job, or says what becomes of the delivery instead. `holders` tells who is connected, if the broker has delivered
/// the message before: then another worker's claim may be that of a dead one.
pub(super) async fn claim<'a>(
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
        let request = ClaimRequest {
            worker: &context.worker,
            lease: settings.lease,
            rescue: &rescue,
            max_crashes: settings.max_crashes,
            exclusive: alone,
        };
        let claim = context.store.jobs().claim(job, &request);
        let claim = match &rescue {
            Rescue::LeaseExpired => claim.await,
            Rescue::HolderGone { worker } => unlocked(context, worker, claim).await,
        };
        let next = match claim {
            Ok(claim) => policy::on_claim(job, claim, &context.worker, holders.is_some()),
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
            Next::Poisoned(job) => match context.store.media().discard_poisoned(&job, &rescue).await {
                Ok((job, outcome)) => {
                    tracing::error!(crashes = job.crashes, reason = job.reason, job.state = %job.state, "the job is discarded");
                    let aftermath = Aftermath::of(&job, outcome, job.reason.as_deref());
                    unlink(context, &aftermath).await;
                    return Err(Ending { disposition: Disposition::Ack, aftermath });
                }
                // Its worker has shown, or another claim was faster: look again.
                Err(Error::Fenced) => {}
                Err(cause) => {
                    drop(place);
                    wait(context, &mut patience, cause).await?;
                }
            },
            Next::Settle(disposition) => {
                tracing::debug!(?disposition, "nothing to do for this delivery");
                return Err(disposition.into());
            }
        }
    }
}

/// Waits for a place among the jobs that run here, or ends the delivery.
async fn place(context: &Context, alone: bool) -> Result<Place<'_>, Ending> {
    match context.stop.soon.run_until_cancelled(context.isolation.place(alone)).await {
        Some(Some(place)) => Ok(place),
        Some(None) => {
            tracing::info!("what runs here runs on for too long: the delivery goes back");
            Err(Disposition::Requeue.into())
        }
        None => Err(Disposition::Requeue.into()),
    }
}

/// Waits before the database is asked again, or ends the delivery.
async fn wait(context: &Context, patience: &mut Patience, cause: Error) -> Result<(), Ending> {
    if let Error::Corrupt { .. } = cause {
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
async fn take_up(context: &Context, job: JobId) -> Result<Option<Claimed>, Error> {
    let Some(record) = context.store.jobs().find(job).await? else { return Ok(None) };
    if record.worker.as_deref() != Some(&context.worker) {
        return Ok(None);
    }
    match context.store.jobs().renew(job, record.attempt, context.settings.lease).await {
        Ok(()) => Ok(Some(Claimed { attempt: record.attempt, job: record })),
        Err(Error::Fenced) => Ok(None),
        Err(cause) => Err(cause),
    }
}
