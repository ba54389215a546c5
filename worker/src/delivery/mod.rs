//! One delivery from its arrival to its settlement: decode, claim, perform, record, unlink, settle. The acknowledgement comes
//! last, so whatever dies in between is done again, and the claim sees to it that nothing is done twice.

mod attempt;
mod claim;
mod in_flight;
mod isolation;
mod policy;
pub(crate) mod receive;
mod record;
mod rescue;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use broker::{Delivery, Disposition, Presence};
use crash_points::Point;
use messages::{Envelope, JobId};
use store::Claimed;
use tokio::time::Instant;
use tracing::Instrument;

use crate::context::Context;
pub(crate) use in_flight::InFlight;
pub(crate) use isolation::Isolation;
use settle::{Ending, Settlement, finish, unlink};

/// How old a delivery may be when its work begins, where attempts are not very short. One that has waited longer, for an
/// earlier delivery of its job, goes back and comes as a new one: the broker counts from its arrival how long it is held.
const FRESH: Duration = Duration::from_secs(60);

/// Handles a delivery. Never fails: whatever happens, the delivery is settled or comes again.
pub(crate) async fn handle(context: Arc<Context>, presence: Presence, delivery: Delivery) {
    let redelivered = delivery.redelivered;
    let envelope = match policy::on_body(&delivery.body) {
        Ok(envelope) => envelope,
        Err(disposition) => {
            tracing::warn!(?disposition, "a message cannot be understood");
            return Settlement { delivery: Some(delivery) }.settle(disposition).await;
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
    let held = Settlement { delivery: Some(delivery) };
    handle_job(&context, &envelope, held, holders).instrument(span).await;
}

async fn handle_job(context: &Arc<Context>, envelope: &Envelope, mut held: Settlement, holders: Option<Presence>) {
    let job = envelope.job_id;
    let arrived = Instant::now();
    let taken = context.stop.soon.run_until_cancelled(context.in_flight.take(job)).await;
    let fresh = taken.filter(|_| arrived.elapsed() < FRESH.min(context.settings.attempt_limit / 2));
    let Some(turn) = fresh else { return held.settle(Disposition::Requeue).await };
    let ending = process(context, job, &mut held, holders).await;
    held.settle(ending.disposition).await;
    crash_points::reach_with(Point::WorkerSettled, &[&job, &envelope.job.kind()]);
    drop(turn);
    finish(context, ending.aftermath).await;
}

async fn process(context: &Arc<Context>, job: JobId, held: &mut Settlement, holders: Option<Presence>) -> Ending {
    let (claimed, place) = match claim::claim(context, job, holders).await {
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

fn reach(point: Point, claimed: &Claimed) {
    crash_points::reach_with(point, &[&claimed.job.id, &claimed.job.kind]);
}
