//! Noting in the database which events are published, many at a time. A note that is lost costs a repetition.

use std::time::Duration;

use crash_points::Point;
use messages::EventId;
use store::Store;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::in_full;

/// For how long notes are collected.
const COLLECTED_FOR: Duration = Duration::from_millis(200);
/// Notes that are written at once.
const BATCH: usize = 1000;

/// Where published events are noted.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    notes: UnboundedSender<EventId>,
}

impl Published {
    pub(crate) fn new() -> (Self, UnboundedReceiver<EventId>) {
        let (notes, noted) = unbounded_channel();
        (Self { notes }, noted)
    }

    pub(crate) fn note(&self, event: EventId) {
        // Without a reader the worker has ended.
        let _ = self.notes.send(event);
    }
}

/// Writes notes until `stop`, and then those of the deliveries that still end.
pub(crate) async fn note(
    store: Store,
    mut noted: UnboundedReceiver<EventId>,
    deliveries: TaskTracker,
    stop: CancellationToken,
) {
    let mut events = Vec::new();
    while stop.run_until_cancelled(noted.recv_many(&mut events, BATCH)).await.is_some() {
        stop.run_until_cancelled(tokio::time::sleep(COLLECTED_FOR)).await;
        while events.len() < BATCH
            && let Ok(event) = noted.try_recv()
        {
            events.push(event);
        }
        mark(&store, &mut events).await;
    }
    deliveries.wait().await;
    while let Ok(event) = noted.try_recv() {
        events.push(event);
    }
    mark(&store, &mut events).await;
}

async fn mark(store: &Store, events: &mut Vec<EventId>) {
    if let Err(cause) = store.events().mark_published(events).await {
        tracing::debug!(cause = in_full(&cause), count = events.len(), "published, which the database was not told");
    } else if !events.is_empty() {
        crash_points::reach(Point::EventMarked);
    }
    events.clear();
}
