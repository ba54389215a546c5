//! The relay publishes what nobody else has: jobs that the API could not publish, retries whose time has come, jobs whose
//! worker is gone, jobs whose message the broker has lost or whose queue was replaced, and events whose worker died before it
//! could publish them.
//!
//! Every worker runs one. A job is taken by a conditional update, so one relay publishes it; if that relay dies, another
//! does a little later. The database says what is due, by its own clock. A message too many is harmless: a claim finds the job
//! claimed, and receivers know an event by its id.

use std::sync::Arc;
use std::time::Duration;

use broker::Admin;
use crash_points::Point;
use futures_util::StreamExt;
use store::{Due, Error};
use tokio::time::Instant;

use super::publishing;
use crate::context::Context;
use crate::jobs;

/// Jobs taken at once: more than one turn publishes without pause.
const BATCH: u32 = 256;
/// For how long other relays leave a taken job to us.
const HOLD: Duration = Duration::from_secs(15);

pub(crate) async fn run(context: Arc<Context>) {
    let mut looked_for_lost = Instant::now();
    loop {
        let pause = turn(&context, &mut looked_for_lost).await;
        tokio::time::sleep(pause).await;
    }
}

/// Publishes what is due, and says how long there is nothing more to do.
async fn turn(context: &Context, looked_for_lost: &mut Instant) -> Duration {
    let every = context.settings.relay_every;
    if !publishing::is_possible(context).await {
        return every;
    }
    let published = async {
        lose_with_their_queue(context).await?;
        // Most of the time nothing is due, and one question says so.
        let left = context.store.jobs().next_due_in().await?;
        let is_due = left.is_some_and(|left| left.is_zero());
        let found = publish_due(context, is_due, looked_for_lost).await? + publish_events(context).await?;
        Ok::<_, Error>(if found > 0 { Duration::ZERO } else { left.unwrap_or(every).min(every) })
    };
    published.await.unwrap_or_else(|cause| {
        tracing::debug!(%cause, "cannot look for due jobs and events now");
        every
    })
}

async fn publish_events(context: &Context) -> Result<usize, Error> {
    let due = context.store.events().take_unpublished(BATCH, HOLD).await?;
    let found = due.len();
    if found > 0 {
        crash_points::reach(Point::EventsTaken);
        tracing::info!(count = found, "publishing events that nobody has published in time");
    }
    let publish = |message| publishing::publish_event(context, message);
    futures_util::stream::iter(due).for_each_concurrent(publishing::CONCURRENCY, publish).await;
    Ok(found)
}

async fn publish_due(context: &Context, is_due: bool, looked_for_lost: &mut Instant) -> Result<usize, Error> {
    let mut due = Vec::new();
    if is_due {
        due.extend(context.store.jobs().take_due(BATCH, HOLD).await?);
        let abandoned = context.store.jobs().take_abandoned(BATCH, HOLD).await?;
        for job in &abandoned {
            let request_id = job.trace.as_ref().and_then(|trace| trace.request_id.as_deref());
            tracing::warn!(job.id = %job.id, request_id, "its worker has let the lease run out: sending the job to another");
        }
        due.extend(abandoned);
    }
    if looked_for_lost.elapsed() >= context.settings.look_for_lost_every {
        *looked_for_lost = Instant::now();
        for queue in jobs::queues(&context.spool, &context.settings) {
            due.extend(lost(context, &queue.name).await?);
        }
    }
    let found = due.len();
    if found > 0 {
        crash_points::reach(Point::RelayTaken);
    }
    publishing::publish(context, due).await;
    Ok(found)
}

/// Makes jobs due whose messages went with their queue, when that was replaced. A few each turn: what is pending counts as backlog.
async fn lose_with_their_queue(context: &Context) -> Result<(), Error> {
    for replaced in context.replaced.to_look_at() {
        let count =
            context.store.jobs().lose(replaced.noted_ago(), replaced.at.elapsed(), &replaced.queue, BATCH).await?;
        if count == 0 {
            context.replaced.looked(&replaced);
        } else {
            tracing::warn!(queue = replaced.queue, count, "their queue was replaced: publishing them again");
        }
    }
    Ok(())
}

/// Jobs that have been queued for long although their queue is empty.
async fn lost(context: &Context, queue: &str) -> Result<Vec<Due>, Error> {
    // One is enough to ask the broker for; in a long queue all of them would be this old.
    let mut lost = context.store.jobs().take_lost(queue, 1, HOLD).await?;
    if lost.is_empty() {
        return Ok(lost);
    }
    match depth(context, queue).await {
        Ok(0) => {}
        Ok(_) => return Ok(Vec::new()),
        Err(cause) => {
            tracing::debug!(%cause, queue, "the broker does not say how long the queue is");
            return Ok(Vec::new());
        }
    }
    lost.extend(context.store.jobs().take_lost(queue, BATCH, HOLD).await?);
    tracing::warn!(queue, count = lost.len(), "queued for long, and their queue is empty: publishing them again");
    Ok(lost)
}

async fn depth(context: &Context, queue: &str) -> Result<u32, broker::Error> {
    let admin = Admin::connect(&context.broker).await?;
    let depth = admin.queue_depth(queue).await;
    admin.close().await;
    Ok(depth?.unwrap_or(0))
}
