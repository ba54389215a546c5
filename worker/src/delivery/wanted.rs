//! Which of the attempts that run here are still wanted.
//!
//! Whoever cancels a job cannot reach the worker that runs it. So the worker asks the database, about twice a second and in one
//! query for all of them, which of its attempts hold their jobs. One that seems not to looks at once whether it does: its renewal of
//! the lease is fenced, and ends it. Without this it would find out when its lease is renewed, seconds later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messages::JobId;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::context::Context;
use crate::error::in_full;

/// How often the database is asked. Together with [`LONG`] it is how late an attempt learns at most that its job was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// An attempt that runs for less is not asked about: most end before, and cost nothing.
const LONG: Duration = Duration::from_millis(250);

/// The attempts that run in this process.
#[derive(Debug, Default)]
pub(crate) struct Wanted(Mutex<HashMap<JobId, Running>>);

#[derive(Debug)]
struct Running {
    attempt: u32,
    since: Instant,
    doubt: Arc<Notify>,
}

/// An attempt that runs until this is dropped.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    wanted: &'a Wanted,
    job: JobId,
    doubt: Arc<Notify>,
}

impl Wanted {
    /// Adds an attempt. Of a job at most one runs in a process (see [`InFlight`](super::InFlight)).
    pub(super) fn enter(&self, job: JobId, attempt: u32) -> Entry<'_> {
        let doubt = Arc::new(Notify::new());
        let running = Running { attempt, since: Instant::now(), doubt: Arc::clone(&doubt) };
        self.running().insert(job, running);
        Entry { wanted: self, job, doubt }
    }

    /// Those that have run for long enough to be asked about.
    fn long(&self) -> Vec<(JobId, u32)> {
        let running = self.running();
        let long = running.iter().filter(|(_, running)| running.since.elapsed() >= LONG);
        long.map(|(job, running)| (*job, running.attempt)).collect()
    }

    /// Has the attempts at these jobs look whether they still hold them.
    fn doubt(&self, jobs: &[JobId]) {
        let running = self.running();
        for running in jobs.iter().filter_map(|job| running.get(job)) {
            running.doubt.notify_one();
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<JobId, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry<'_> {
    /// Waits until it is doubtful that the attempt holds its job.
    pub(super) async fn doubted(&self) {
        self.doubt.notified().await;
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.wanted.running().remove(&self.job);
    }
}

/// Looks again and again which attempts are still wanted. Asks nothing while none runs for long; a database that does not answer is
/// asked again.
pub(crate) async fn watch(context: Arc<Context>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let attempts = context.wanted.long();
        if attempts.is_empty() {
            continue;
        }
        match context.store.jobs().not_held(&attempts).await {
            Ok(jobs) => context.wanted.doubt(&jobs),
            Err(cause) => tracing::debug!(cause = in_full(&cause), "cannot ask now which attempts are still wanted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_attempts_that_run_for_long_are_asked_about_and_none_that_has_ended() {
        let wanted = Wanted::default();
        let (first, second) = (JobId::new(), JobId::new());
        let ended = wanted.enter(first, 1);
        tokio::time::advance(LONG).await;
        let runs = wanted.enter(second, 7);
        assert_eq!(wanted.long(), [(first, 1)]);
        drop(ended);
        assert_eq!(wanted.long(), []);
        tokio::time::advance(LONG).await;
        assert_eq!(wanted.long(), [(second, 7)]);
        drop(runs);
        assert!(wanted.running().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_is_told_of_a_doubt_even_if_it_is_busy_when_that_comes() {
        let wanted = Wanted::default();
        let (job, other) = (JobId::new(), JobId::new());
        let (doubted, undisturbed) = (wanted.enter(job, 1), wanted.enter(other, 1));
        wanted.doubt(&[job, JobId::new()]);
        doubted.doubted().await;
        for entry in [&doubted, &undisturbed] {
            assert!(tokio::time::timeout(LONG, entry.doubted()).await.is_err(), "there is no other doubt");
        }
    }
}
