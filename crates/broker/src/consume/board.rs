//! The queues of a consumer, and whether each is consumed.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A queue to consume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpec {
    /// Its name. The consumer declares it.
    pub name: String,
    /// How many of its deliveries may be unsettled at once, and so how many of its jobs run at once.
    pub prefetch: NonZeroU16,
}

/// The queues that are not consumed, and why.
#[derive(Default)]
pub(crate) struct Board(Mutex<BTreeMap<String, String>>);

impl Board {
    pub(crate) fn consuming(&self, queue: &str) {
        self.entries().remove(queue);
    }

    pub(crate) fn waiting(&self, queue: &str, why: &str) {
        self.entries().insert(queue.to_owned(), why.to_owned());
    }

    pub(super) fn first_waiting(&self) -> Option<String> {
        self.entries().iter().next().map(|(queue, why)| format!("{queue}: {why}"))
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
