//! The queues of a consumer: whether each is consumed, and which were replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A queue to consume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpec {
    /// Its name, without the generation that the broker's name ends with. The consumer declares it.
    pub name: String,
    /// How many of its deliveries may be unsettled at once, and so how many of its jobs run at once.
    pub prefetch: NonZeroU16,
}

#[derive(Default)]
pub(crate) struct Board(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// The queues that are not consumed, and why.
    waiting: BTreeMap<String, String>,
    /// The queues whose messages went with the queue, until somebody asks.
    replaced: BTreeSet<String>,
}

impl Board {
    pub(crate) fn consuming(&self, queue: &str) {
        self.entries().waiting.remove(queue);
    }

    pub(crate) fn waiting(&self, queue: &str, why: &str) {
        self.entries().waiting.insert(queue.to_owned(), why.to_owned());
    }

    pub(super) fn first_waiting(&self) -> Option<String> {
        self.entries().waiting.iter().next().map(|(queue, why)| format!("{queue}: {why}"))
    }

    pub(super) fn replaced(&self, queue: &str) {
        self.entries().replaced.insert(queue.to_owned());
    }

    pub(super) fn take_replaced(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.entries().replaced)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
