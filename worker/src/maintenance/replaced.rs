//! Queues that were replaced at the broker. Their messages are gone, so the relay publishes their jobs again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much later than its message a job may be noted as queued: as long as the broker and the database may take to answer.
const NOTED_WITHIN: Duration = Duration::from_secs(15);

/// The queues that were replaced since the start. What a worker that dies forgets is found a minute later: its jobs are queued, and
/// their queue is empty.
#[derive(Debug, Default)]
pub(crate) struct Replaced(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    count: u64,
    open: BTreeMap<String, Open>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Open {
    /// Since when messages go to the new queue.
    at: Instant,
    /// Whether no job is left that had been noted as queued by then. Those that were noted a little later are looked for once more.
    looked: bool,
}

/// A queue whose jobs are to be published again.
#[derive(Debug)]
pub(super) struct LookAt {
    pub(super) queue: String,
    pub(super) at: Instant,
    last: bool,
}

impl LookAt {
    /// How long ago the last of those jobs was noted as queued.
    pub(super) fn noted_ago(&self) -> Duration {
        let noted_within = if self.last { NOTED_WITHIN } else { Duration::ZERO };
        self.at.elapsed().saturating_sub(noted_within)
    }
}

impl Replaced {
    pub(crate) fn note(&self, queue: String) {
        let mut entries = self.entries();
        entries.count += 1;
        entries.open.insert(queue, Open { at: Instant::now(), looked: false });
    }

    pub(crate) fn count(&self) -> u64 {
        self.entries().count
    }

    pub(super) fn to_look_at(&self) -> Vec<LookAt> {
        let entries = self.entries();
        let queues = entries.open.iter().map(|(queue, open)| {
            (open, LookAt { queue: queue.clone(), at: open.at, last: open.at.elapsed() > NOTED_WITHIN })
        });
        queues.filter(|(open, look)| look.last || !open.looked).map(|(_, look)| look).collect()
    }

    /// None of its jobs is left.
    pub(super) fn looked(&self, look: &LookAt) {
        let mut entries = self.entries();
        let Some(open) = entries.open.get_mut(&look.queue).filter(|open| open.at == look.at) else { return };
        open.looked = true;
        if look.last {
            entries.open.remove(&look.queue);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
