//! Which jobs have a delivery under way here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use messages::JobId;
use tokio::sync::OwnedMutexGuard;

/// Lets one delivery of a job at a time through. When the connection to the broker is cut while a job runs, its message comes
/// again, perhaps to this very worker; it then waits here, unacknowledged, so that the broker still knows of the job if this
/// process dies.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight {
    jobs: Arc<Mutex<HashMap<JobId, Arc<tokio::sync::Mutex<()>>>>>,
}

/// The right to handle a job's deliveries in this process.
#[derive(Debug)]
pub(crate) struct Turn {
    in_flight: InFlight,
    job: JobId,
    guard: Option<OwnedMutexGuard<()>>,
}

impl InFlight {
    /// Waits until no other delivery of the job is being handled.
    pub(crate) async fn take(&self, job: JobId) -> Turn {
        let lock = Arc::clone(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).entry(job).or_default());
        // Made before waiting, so that a caller who stops waiting cleans up as well.
        let mut turn = Turn { in_flight: self.clone(), job, guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut jobs = self.in_flight.jobs.lock().unwrap_or_else(PoisonError::into_inner);
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
        let in_flight = InFlight::default();
        let job = JobId::new();
        let first = in_flight.take(job).await;
        let _other = in_flight.take(JobId::new()).await;
        let mut second = Box::pin(in_flight.take(job));
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut second).await.is_err());
        drop(first);
        drop(second.await);
    }

    #[tokio::test]
    async fn nothing_is_remembered_of_jobs_that_are_done() {
        let in_flight = InFlight::default();
        let job = JobId::new();
        let first = in_flight.take(job).await;
        // A waiter that stops waiting.
        assert!(tokio::time::timeout(Duration::from_millis(20), in_flight.take(job)).await.is_err());
        drop(first);
        assert!(in_flight.jobs.lock().unwrap().is_empty());
    }
}
