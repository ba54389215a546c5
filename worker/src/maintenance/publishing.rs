//! Publishing what is durable: jobs, and events with a note in the database that they are published. A crash in between leaves
//! both to a relay, and a note that is lost costs a repetition.

use std::sync::Arc;
use std::time::Duration;

use broker::PublisherStatus;
use crash_points::Point;
use futures_util::StreamExt;
use messages::{Envelope, EventId, EventMessage, JobId};
use store::Due;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::context::Context;
use crate::error::in_full;
use crate::retry::Waits;

/// Messages that wait for the broker's confirm at once.
pub(super) const CONCURRENCY: usize = 32;
/// How long a broker may refuse a message before the job is left to a relay's next turn.
const HICCUP: Duration = Duration::from_secs(3);
const COLLECTED_FOR: Duration = Duration::from_millis(200);
/// Notes that are waited for at once.
const BATCH: usize = 1000;

/// Waits for the broker. `false`: it takes no messages at present. Taking jobs that cannot be published would only delay them.
pub(super) async fn is_possible(context: &Context) -> bool {
    context.publisher.connected().await;
    context.publisher.status() == PublisherStatus::Connected
}

pub(crate) async fn publish(context: &Context, jobs: Vec<Due>) {
    let published: Vec<JobId> = futures_util::stream::iter(jobs)
        .map(|job| async move { publish_one(context, job).await })
        .buffer_unordered(CONCURRENCY)
        .filter_map(std::future::ready)
        .collect()
        .await;
    if let Err(cause) = context.store.jobs().mark_queued(&published).await {
        tracing::debug!(%cause, "published, which the database was not told");
    }
}

/// Publishes a job, and answers with it if its message is at the broker. If not, a relay tries again.
async fn publish_one(context: &Context, Due { id, job, trace }: Due) -> Option<JobId> {
    let envelope = Envelope::new(id, job, trace);
    // A job that was taken is nobody else's for a while, so a hiccup of the broker is better waited for here.
    let mut waits = Waits::until(HICCUP);
    while let Err(cause) = context.publisher.publish(&envelope).await {
        if !waits.next().await {
            let request_id = envelope.request_id.as_deref();
            tracing::warn!(%cause, job.id = %id, request_id, "cannot publish the job now");
            return None;
        }
    }
    Some(id)
}

pub(crate) async fn publish_event(context: &Context, message: EventMessage) {
    match context.publisher.publish_event(&message).await {
        Ok(()) => {
            crash_points::reach_with(Point::EventPublished, &[&message.event.kind()]);
            // Without a reader the worker has ended.
            let _ = context.published.send(message.id);
        }
        Err(cause) => tracing::debug!(%cause, event = message.event.kind(), "cannot publish the event now"),
    }
}

/// Notes in the database which events are published, many at a time, until the worker ends and its deliveries have ended.
pub(crate) async fn note(context: Arc<Context>, mut published: UnboundedReceiver<EventId>) {
    let mut events = Vec::new();
    loop {
        let first = context.stop.now.run_until_cancelled(published.recv_many(&mut events, BATCH)).await;
        match first {
            Some(_) => _ = context.stop.now.run_until_cancelled(tokio::time::sleep(COLLECTED_FOR)).await,
            None => context.deliveries.wait().await,
        }
        while let Ok(event) = published.try_recv() {
            events.push(event);
        }
        if let Err(cause) = context.store.events().mark_published(&events).await {
            tracing::debug!(
                cause = in_full(&cause),
                count = events.len(),
                "published, which the database was not told"
            );
        } else if !events.is_empty() {
            crash_points::reach(Point::EventMarked);
        }
        if first.is_none() {
            return;
        }
        events.clear();
    }
}
