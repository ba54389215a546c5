//! What everything in a worker shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use broker::{ConsumerStatus, Publisher};
use messages::JobId;
use spool::Spool;
use store::Store;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Settings;
use crate::company::Company;
use crate::health::MediaHost;
use crate::reconciler::Tally;

/// The services a worker works with, and what it knows about itself.
pub(crate) struct Context {
    /// Names this worker: in claims, and to the broker while it is connected.
    pub worker: String,
    pub settings: Settings,
    pub store: Store,
    pub spool: Spool,
    pub media: cloudinary::Client,
    pub publisher: Publisher,
    /// What the media host thinks of us.
    pub media_host: MediaHost,
    /// What the reconciler has found.
    pub reconciled: Tally,
    /// Whether deliveries flow.
    pub consuming: watch::Sender<Consuming>,
    /// Whether the database answers.
    pub database: watch::Receiver<bool>,
    /// Jobs that this worker has in hand.
    pub in_hand: InHand,
    /// What runs beside what.
    pub company: Company,
    /// One task for each delivery.
    pub deliveries: TaskTracker,
    pub stop: Stop,
}

/// Whether deliveries flow, and since when they do or do not.
#[derive(Debug, Clone)]
pub(crate) struct Consuming {
    pub status: ConsumerStatus,
    pub since: Instant,
}

impl Consuming {
    pub(crate) fn new(status: ConsumerStatus) -> Self {
        Self { status, since: Instant::now() }
    }
}

/// The steps of ending.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// Take nothing new, finish what runs. A child of `now`.
    pub soon: CancellationToken,
    /// Leave everything to others.
    pub now: CancellationToken,
    /// Drop everything where it stands.
    pub dead: CancellationToken,
    /// Something panicked that must not: the worker ends, and others take over.
    pub defect: CancellationToken,
}

impl Stop {
    pub(crate) fn new() -> Self {
        let now = CancellationToken::new();
        Self { soon: now.child_token(), now, dead: CancellationToken::new(), defect: CancellationToken::new() }
    }
}

/// Lets one delivery of a job at a time through. When the connection to the broker is cut while a job runs, its message comes
/// again, perhaps to this very worker; it then waits here, unacknowledged, so that the broker still knows of the job if this
/// process dies.
#[derive(Debug, Clone, Default)]
pub(crate) struct InHand {
    jobs: Arc<Mutex<HashMap<JobId, Arc<tokio::sync::Mutex<()>>>>>,
}

/// The right to handle a job's deliveries in this process.
#[derive(Debug)]
pub(crate) struct Hand {
    in_hand: InHand,
    job: JobId,
    guard: Option<OwnedMutexGuard<()>>,
}

impl InHand {
    /// Waits until no other delivery of the job is being handled.
    pub(crate) async fn take(&self, job: JobId) -> Hand {
        let lock = {
            let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(jobs.entry(job).or_default())
        };
        // Made before waiting, so that a caller who stops waiting cleans up as well.
        let mut hand = Hand { in_hand: self.clone(), job, guard: None };
        hand.guard = Some(lock.lock_owned().await);
        hand
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let mut jobs = self.in_hand.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        self.guard = None;
        // One reference is the map's: nobody holds the lock or waits for it.
        if jobs.get(&self.job).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            jobs.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_second_delivery_of_a_job_waits_for_the_first() {
        let in_hand = InHand::default();
        let job = JobId::new();
        let first = in_hand.take(job).await;
        let _other = in_hand.take(JobId::new()).await;
        let mut second = Box::pin(in_hand.take(job));
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut second).await.is_err());
        drop(first);
        drop(second.await);
    }

    #[tokio::test]
    async fn nothing_is_remembered_of_jobs_that_are_done() {
        let in_hand = InHand::default();
        let job = JobId::new();
        let first = in_hand.take(job).await;
        // A waiter that gives up.
        assert!(tokio::time::timeout(Duration::from_millis(20), in_hand.take(job)).await.is_err());
        drop(first);
        assert!(in_hand.jobs.lock().unwrap().is_empty());
    }
}
