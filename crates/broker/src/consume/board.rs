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

/// Per queue `None` if it is consumed, else why not.
pub(crate) struct Board(Mutex<BTreeMap<String, Option<String>>>);

impl Board {
    pub(super) fn new(queues: &[QueueSpec]) -> Self {
        let why = Some("not connected yet".to_owned());
        Self(Mutex::new(queues.iter().map(|queue| (queue.name.clone(), why.clone())).collect()))
    }

    pub(crate) fn consuming(&self, queue: &str) {
        self.entries().insert(queue.to_owned(), None);
    }

    pub(crate) fn waiting(&self, queue: &str, why: &str) {
        self.entries().insert(queue.to_owned(), Some(why.to_owned()));
    }

    pub(super) fn all_waiting(&self, why: &str) {
        self.entries().values_mut().for_each(|entry| *entry = Some(why.to_owned()));
    }

    pub(super) fn first_waiting(&self) -> Option<String> {
        self.entries().iter().find_map(|(queue, why)| why.as_ref().map(|why| format!("{queue}: {why}")))
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
