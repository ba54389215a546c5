//! What is counted and measured of deliveries and of what becomes of jobs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use messages::{Job, JobId};
use store::{Attempt, AttemptOutcome, Claimed, FailureCode, JobRecord, JobState, Outcome, Rescue, RunningJob};

use super::policy::Verdict;
use super::spans;
use crate::context::Context;

const KINDS: usize = Job::KINDS.len();

/// How many jobs of each kind have a delivery here.
#[derive(Debug, Default)]
pub(crate) struct Slots([AtomicU32; KINDS]);

/// Counts one until it is dropped.
#[derive(Debug)]
pub(super) struct Slot<'a>(Option<&'a AtomicU32>);

impl Slots {
    pub(super) fn take(&self, kind: &str) -> Slot<'_> {
        let used = Job::KINDS.iter().zip(&self.0).find(|(known, _)| **known == kind).map(|(_, used)| used);
        if let Some(used) = used {
            used.fetch_add(1, Ordering::Relaxed);
        }
        Slot(used)
    }

    pub(crate) fn used(&self) -> impl Iterator<Item = (&'static str, u32)> {
        Job::KINDS.iter().copied().zip(self.0.iter().map(|used| used.load(Ordering::Relaxed)))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(used) = self.0 {
            used.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The jobs that run in this process, as they were claimed.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<HashMap<JobId, Arc<JobRecord>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Run<'a> {
    runs: &'a Runs,
    job: JobId,
}

impl Runs {
    pub(super) fn enter(&self, claimed: &Claimed) -> Run<'_> {
        self.jobs().insert(claimed.job.id, Arc::clone(&claimed.job));
        Run { runs: self, job: claimed.job.id }
    }

    /// All of them, the one that runs for the longest first.
    pub(crate) fn longest_first(&self) -> Vec<RunningJob> {
        let since = |job: &JobRecord| job.attempts.last().map_or(job.updated_at, |attempt| attempt.started_at);
        let running = |job: &Arc<JobRecord>| RunningJob { job: job.id, kind: job.kind.clone(), since: since(job) };
        let mut all: Vec<RunningJob> = self.jobs().values().map(running).collect();
        all.sort_by_key(|running| running.since);
        all
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, Arc<JobRecord>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.runs.jobs().remove(&self.job);
    }
}

/// Whose fault it was that an attempt did not do what it was for.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Nobody,
    Transient,
    Permanent,
    Operator,
    Crash,
}

impl Fault {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Operator => "operator",
            Self::Crash => "crash",
        }
    }
}

/// A job is claimed, perhaps from a worker that vanished: then that one's attempt is found to have crashed.
pub(super) fn claimed(claimed: &Claimed, rescue: &Rescue) {
    let job = &claimed.job;
    if found_crash(&job.attempts) {
        let reason = match rescue {
            Rescue::LeaseExpired => "lease",
            Rescue::HolderGone { .. } => "holder-gone",
        };
        meters::TAKEOVERS.add(&[reason], 1);
        ended(job, AttemptOutcome::Crashed, Fault::Crash);
        return;
    }
    // What vanished workers cost is no waiting for a turn.
    if let Some(this) = job.attempts.last() {
        meters::JOB_WAIT.record(&[&job.kind], (this.started_at - job.run_at).as_seconds_f64().max(0.0));
    }
}

/// Whether the claim that began the last attempt found that the one before it had crashed. It ends that one at the moment at which it
/// begins its own; a crash that ended a job was found earlier.
fn found_crash(attempts: &[Attempt]) -> bool {
    let [.., before, this] = attempts else { return false };
    before.outcome == Some(AttemptOutcome::Crashed) && before.ended_at == Some(this.started_at)
}

/// The outcome of an attempt is durable.
pub(super) async fn recorded(
    context: &Context,
    claimed: &Claimed,
    verdict: &Verdict,
    outcome: &Outcome,
    begun: Instant,
) {
    let (how, fault) = match (verdict, outcome.state) {
        (_, JobState::Cancelled) => (AttemptOutcome::Cancelled, Fault::Nobody),
        (Verdict::Retry(retry), _) if retry.counts => (AttemptOutcome::Retry, Fault::Transient),
        (Verdict::Retry(retry), _) if retry.code == FailureCode::Configuration => {
            (AttemptOutcome::Operator, Fault::Operator)
        }
        (_, JobState::Completed) => (AttemptOutcome::Completed, Fault::Nobody),
        (_, JobState::Discarded) => (AttemptOutcome::Discarded, Fault::Permanent),
        _ => (AttemptOutcome::Released, Fault::Nobody),
    };
    ended(&claimed.job, how, fault);
    spans::ended(how.as_str(), fault.as_str());
    meters::JOB_ATTEMPT.took(&[&claimed.job.kind, how.as_str()], begun.elapsed());
    finished(context, &claimed.job, outcome.state).await;
}

/// An attempt is left to another worker.
pub(super) fn released(claimed: &Claimed, begun: Instant) {
    ended(&claimed.job, AttemptOutcome::Released, Fault::Nobody);
    spans::ended(AttemptOutcome::Released.as_str(), Fault::Nobody.as_str());
    meters::JOB_ATTEMPT.took(&[&claimed.job.kind, AttemptOutcome::Released.as_str()], begun.elapsed());
}

/// A job is discarded because of the workers that vanished.
pub(super) async fn poisoned(context: &Context, job: &JobRecord, outcome: &Outcome) {
    ended(job, AttemptOutcome::Crashed, Fault::Crash);
    finished(context, job, outcome.state).await;
}

fn ended(job: &JobRecord, how: AttemptOutcome, fault: Fault) {
    meters::JOB_ATTEMPTS.add(&[&job.kind, how.as_str(), fault.as_str()], 1);
}

async fn finished(context: &Context, job: &JobRecord, state: JobState) {
    if !state.is_finished() || !meters::is_on() {
        return;
    }
    meters::JOBS_FINISHED.add(&[&job.kind, state.as_str()], 1);
    // Asks nobody: the server's time is known by now.
    if let Ok(now) = context.store.now().await {
        let latency = (now - job.created_at).as_seconds_f64().max(0.0);
        meters::JOB_LATENCY.record(&[&job.kind, state.as_str()], latency);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn the_metrics_know_every_state_and_every_outcome() {
        let values = |label: &meters::Label| (label.values)().iter().copied().collect::<BTreeSet<_>>();
        let [_, outcome, class] = meters::JOB_ATTEMPTS.metric.labels else { panic!("three labels") };
        let outcomes = [
            AttemptOutcome::Completed,
            AttemptOutcome::Retry,
            AttemptOutcome::Operator,
            AttemptOutcome::Discarded,
            AttemptOutcome::Crashed,
            AttemptOutcome::Cancelled,
            AttemptOutcome::Released,
        ];
        assert_eq!(values(outcome), outcomes.map(AttemptOutcome::as_str).into());
        let faults = [Fault::Nobody, Fault::Transient, Fault::Permanent, Fault::Operator, Fault::Crash];
        assert_eq!(values(class), faults.map(Fault::as_str).into());
        let of = |is_finished| {
            let states = JobState::ALL.into_iter().filter(move |state| state.is_finished() == is_finished);
            states.map(JobState::as_str).collect::<BTreeSet<_>>()
        };
        assert_eq!(values(&meters::JOBS_FINISHED.metric.labels[1]), of(true));
        assert_eq!(values(&meters::JOBS.metric.labels[1]), of(false));
    }

    #[test]
    fn a_crash_counts_where_it_is_found_and_not_again_when_its_job_is_redriven() {
        let at = |second| OffsetDateTime::from_unix_timestamp(second).expect("a time");
        let attempt = |number, started, ended: Option<i64>, outcome| Attempt {
            number,
            worker: "a".to_owned(),
            started_at: at(started),
            ended_at: ended.map(at),
            outcome,
            error: None,
            code: None,
            status: None,
        };
        let crashed = attempt(1, 0, Some(30), Some(AttemptOutcome::Crashed));
        assert!(found_crash(&[crashed.clone(), attempt(2, 30, None, None)]));
        assert!(!found_crash(&[crashed.clone(), attempt(2, 31, None, None)]), "redriven");
        assert!(!found_crash(&[attempt(1, 0, Some(30), Some(AttemptOutcome::Retry)), attempt(2, 30, None, None)]));
        assert!(!found_crash(&[attempt(1, 0, None, None)]));
    }

    #[test]
    fn a_slot_is_used_as_long_as_it_is_held() {
        let slots = Slots::default();
        let used = || slots.used().filter(|(_, used)| *used > 0).collect::<Vec<_>>();
        let held = (slots.take("media.delete.v1"), slots.take("media.delete.v1"), slots.take("media.stamp.v1"));
        assert_eq!(used(), [("media.delete.v1", 2)]);
        drop(held);
        assert_eq!(used(), []);
    }
}
