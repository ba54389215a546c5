//! One delivery from its arrival to its settlement: receive, claim, attempt, record, settle. The acknowledgement comes last, so
//! whatever dies in between is done again, and the claim sees to it that nothing is done twice.

mod attempt;
mod claim;
mod copies;
mod in_flight;
mod isolation;
mod measure;
mod policy;
pub(crate) mod receive;
mod record;
mod rescue;
mod settle;
mod spans;
pub(crate) mod wanted;

use std::sync::Arc;
use std::time::Duration;

use broker::{Delivery, Disposition, Presence};
use crash_points::Point;
use messages::Envelope;
use program::telemetry::TraceContext;
use store::{Claimed, Outcome};
use tokio::time::Instant;
use tracing::Instrument;

use crate::context::Context;
use crate::maintenance::publishing::publish_later;
pub(crate) use copies::Copies;
pub(crate) use in_flight::InFlight;
pub(crate) use isolation::Isolation;
use isolation::Place;
pub(crate) use measure::{Runs, Slots};
use policy::Verdict;
use settle::Settlement;
pub(crate) use wanted::Wanted;

/// How old a delivery may be when its work begins, where attempts are not very short. One that has waited longer, for an
/// earlier delivery of its job, is requeued and comes as a new one: the broker counts from its arrival how long it is held.
const FRESH: Duration = Duration::from_secs(60);

/// Handles a delivery. Never fails: whatever happens, the delivery is settled or comes again.
pub(crate) async fn handle(context: Arc<Context>, presence: Presence, delivery: Delivery) {
    let envelope = match Envelope::decode(&delivery.body) {
        Ok(envelope) => envelope,
        // It goes to a person at once: retrying cannot help.
        Err(cause) => {
            tracing::warn!(%cause, "a message cannot be understood");
            return Settlement::of(delivery).settle(Disposition::DeadLetter { reason: cause.to_string() }).await;
        }
    };
    crash_points::reach_with(Point::WorkerDecoded, &[&envelope.job_id, &envelope.job.kind()]);
    let _slot = context.slots.take(envelope.job.kind());
    if context.copies.is_copy(envelope.message_id, &delivery) {
        meters::DUPLICATES_ABSORBED.add(&["delivery"], 1);
        return Settlement::of(delivery).settle(Disposition::Ack).await;
    }
    // Of the highest level, so that no filter that shows any line hides whose it is.
    let span = tracing::error_span!(
        "job",
        job.id = %envelope.job_id,
        job.kind = envelope.job.kind(),
        request_id = envelope.request_id.as_deref(),
        traceparent = envelope.traceparent.as_deref()
    );
    let present = delivery.redelivered.then_some(presence);
    handle_job(&context, &envelope, Settlement::of(delivery), present).instrument(span).await;
}

async fn handle_job(context: &Arc<Context>, envelope: &Envelope, mut delivery: Settlement, present: Option<Presence>) {
    let job = envelope.job_id;
    let arrived = Instant::now();
    let taken = context.stop.soon.run_until_cancelled(context.in_flight.take(job)).await;
    let fresh = taken.filter(|_| arrived.elapsed() < FRESH.min(context.settings.attempt_limit / 2));
    let Some(turn) = fresh else { return delivery.settle(Disposition::Requeue).await };
    let outcome = process(context, envelope, &mut delivery, present).await;
    let disposition = match &outcome {
        Ok(_) => Disposition::Ack,
        Err(disposition) => {
            tracing::debug!(?disposition, "nothing was recorded for this delivery");
            disposition.clone()
        }
    };
    if disposition == Disposition::Ack {
        context.copies.acknowledged(envelope.message_id);
    }
    delivery.settle(disposition).await;
    crash_points::reach_with(Point::WorkerSettled, &[&job, &envelope.job.kind()]);
    drop(turn);
    if let Ok(outcome) = outcome {
        let trace = delivery.in_span(TraceContext::current);
        publish_later(context, outcome, trace.as_ref());
    }
}

/// What is durable of the delivery's job, or what becomes of the delivery instead.
async fn process(
    context: &Arc<Context>,
    envelope: &Envelope,
    delivery: &mut Settlement,
    present: Option<Presence>,
) -> Result<Outcome, Disposition> {
    let (claimed, place) = claim::claim(context, envelope.job_id, present.as_ref()).await?;
    tracing::debug!(job.attempt = claimed.attempt, worker = context.worker, "claimed");
    let span = spans::process(context, envelope, &claimed, present.is_some());
    delivery.traced(span.clone());
    work(context, claimed, place, delivery).instrument(span).await
}

/// The attempt and what it comes to.
async fn work(
    context: &Arc<Context>,
    claimed: Claimed,
    place: Place<'_>,
    delivery: &mut Settlement,
) -> Result<Outcome, Disposition> {
    let begun = std::time::Instant::now();
    reach(Point::WorkerClaimed, &claimed);
    let running = context.runs.enter(&claimed);
    let verdict = match record::is_paused(context, &claimed) {
        true => Verdict::Paused,
        false => attempt::run(context, &claimed).await,
    };
    reach(Point::WorkerPerformed, &claimed);
    let recorded = record::record(context, &claimed, verdict, delivery, begun).await;
    drop(running);
    // From here on a crash is not counted against the job.
    drop(place);
    let outcome = recorded?;
    reach(Point::WorkerRecorded, &claimed);
    settle::unlink(context, &outcome).await;
    reach(Point::WorkerUnlinked, &claimed);
    Ok(outcome)
}

fn reach(point: Point, claimed: &Claimed) {
    crash_points::reach_with(point, &[&claimed.job.id, &claimed.job.kind]);
}
