//! What is read once for everything that is told of the fleet. Nothing is counted here: workers have counted.

use std::collections::BTreeMap;
use std::time::Duration;

use messages::Job;
use store::{Control, Controlled, Ended, JobState, Rollup, Rollups, Snapshot, WaitingIn, Window, Worker};
use time::OffsetDateTime;

use crate::state::App;

/// How long the broker may take to say how many dead letters there are.
const BROKER: Duration = Duration::from_secs(1);

pub(super) struct Figures {
    pub(super) now: OffsetDateTime,
    /// What waits. None: no worker has counted yet.
    pub(super) snapshot: Option<Snapshot>,
    /// What has ended in the window, in parts.
    pub(super) parts: Vec<Rollup>,
    /// What has ended in the last hour, by kind.
    pub(super) last_hour: Vec<Ended>,
    /// Those that have not said that they end.
    pub(super) workers: Vec<Worker>,
    pub(super) controls: Vec<Control>,
    /// None: the broker does not say.
    pub(super) dead_letters: Option<u32>,
    /// Whether this program has a connection to the broker.
    pub(super) broker_is_up: bool,
}

/// What waits of a kind in some states, in all of its queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) count: u64,
    pub(super) at_least: bool,
    /// Since when the one waits that waits longest.
    pub(super) since: Option<OffsetDateTime>,
}

/// Reads all of it, one beside the other.
pub(super) async fn gather(app: &App, window: Window) -> Result<Figures, store::Error> {
    let store = &app.store;
    let rollups = store.rollups();
    let dead_letters = async {
        let asked = app.gauges.1.dead_letters(&app.publisher);
        Ok(tokio::time::timeout(BROKER, asked).await.ok().flatten())
    };
    let (now, snapshot, parts, last_hour, workers, controls, dead_letters) = tokio::try_join!(
        store.now(),
        rollups.snapshot(),
        rollups.window(window),
        rollups.window(Window::Hour),
        store.workers().present(),
        store.controls().all(),
        dead_letters,
    )?;
    let broker_is_up = !matches!(app.publisher.status(), broker::PublisherStatus::Disconnected { .. });
    let last_hour = Rollups::sum(&last_hour);
    Ok(Figures { now, snapshot, parts, last_hour, workers, controls, dead_letters, broker_is_up })
}

impl Figures {
    /// What waits of a kind in these states.
    pub(super) fn waits(&self, kind: &str, states: &[JobState]) -> Waits {
        let mut sum = Waits::default();
        let queues = self.snapshot.iter().flat_map(|snapshot| &snapshot.queues);
        let of_kind = |queue: &&WaitingIn| states.contains(&queue.state) && Job::kind_in(&queue.queue) == Some(kind);
        for queue in queues.filter(of_kind) {
            sum.count += queue.count;
            sum.at_least |= queue.at_least;
            sum.since = [sum.since, Some(queue.waiting_since)].into_iter().flatten().min();
        }
        sum
    }

    /// How long ago a time was, at the time at which it was counted. Nothing of one that is to come.
    pub(super) fn age(&self, since: OffsetDateTime) -> Duration {
        let at = self.snapshot.as_ref().map_or(self.now, |snapshot| snapshot.at);
        Duration::try_from(at - since).unwrap_or_default()
    }

    /// Slots for a kind in all workers that live, and how many are used.
    pub(super) fn slots(&self, kind: Option<&str>) -> (u64, u64) {
        let (mut slots, mut used) = (0, 0);
        for of in self.living().flat_map(|worker| &worker.slots) {
            if kind.is_none_or(|kind| kind == of.kind) {
                slots += u64::from(of.slots);
                used += u64::from(of.used.min(of.slots));
            }
        }
        (slots, used)
    }

    pub(super) fn living(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|worker| worker.lives())
    }

    /// Each spool as the worker told that signed last.
    pub(super) fn spools(&self) -> BTreeMap<&str, &Worker> {
        let mut spools: BTreeMap<&str, &Worker> = BTreeMap::new();
        for worker in self.workers.iter().filter(|worker| worker.spool_fill.is_some()) {
            // The latest sign comes first.
            spools.entry(&worker.spool).or_insert(worker);
        }
        spools
    }

    /// What holds of a queue by the name that settings know it by.
    pub(super) fn pause_of(&self, queue: &str) -> Option<&Control> {
        self.controls.iter().find(|control| matches!(&control.what, Controlled::Queue(name) if name == queue))
    }
}
