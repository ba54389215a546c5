//! Queues that were replaced at the broker. Their messages are gone, so the relay publishes their jobs again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The queues that were replaced since the start. What a worker that dies forgets is found a minute later: its jobs are queued, and
/// their queue is empty.
#[derive(Debug, Default)]
pub(crate) struct Replaced(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    count: u64,
    /// Those whose jobs are not all published again, and since when messages go to the new queue.
    open: BTreeMap<String, Instant>,
}

impl Replaced {
    pub(crate) fn note(&self, queue: String) {
        let mut entries = self.entries();
        entries.count += 1;
        entries.open.insert(queue, Instant::now());
    }

    pub(crate) fn count(&self) -> u64 {
        self.entries().count
    }

    pub(super) fn open(&self) -> Vec<(String, Instant)> {
        self.entries().open.iter().map(|(queue, at)| (queue.clone(), *at)).collect()
    }

    /// No job of the queue is left that was published before that moment.
    pub(super) fn done(&self, queue: &str, at: Instant) {
        let mut entries = self.entries();
        if entries.open.get(queue) == Some(&at) {
            entries.open.remove(queue);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
