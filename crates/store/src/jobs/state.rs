//! The states of a job and the only ways between them.

use serde::{Deserialize, Serialize};

use JobState::{Cancelled, Completed, Discarded, Pending, Queued, Retryable, Running};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Durable, and not yet known to be at the broker. The relay publishes it if nobody else does.
    Pending,
    /// The broker has confirmed a message for it.
    Queued,
    /// A worker holds it under a lease. After a crash it stays so until the next claim finds the attempt abandoned.
    Running,
    /// An attempt failed in a way that may pass; the relay publishes it when it is due.
    Retryable,
    Completed,
    /// Cannot succeed, with a reason that a person can act on.
    Discarded,
    /// No longer wanted: something newer took its place, or its owner cancelled it.
    Cancelled,
}

/// Every legal change, as (from, to). Conditional updates filter by this table, so what is not in it cannot happen.
///
/// `Running` to `Running` is a rescue: another attempt takes over from one that its worker abandoned. `Queued` to `Pending`:
/// its message is lost with its queue. `Running` to `Cancelled`: by the attempt that finds something newer in its place, or by the
/// job's owner, and the attempt finds itself fenced. To `Discarded` from a state in which nobody runs it: by whoever runs the system.
/// `Discarded` to `Pending` is a redrive by a person.
pub const TRANSITIONS: &[(JobState, JobState)] = &[
    (Pending, Queued),
    (Pending, Running),
    (Pending, Discarded),
    (Pending, Cancelled),
    (Queued, Pending),
    (Queued, Running),
    (Queued, Discarded),
    (Queued, Cancelled),
    (Running, Completed),
    (Running, Retryable),
    (Running, Discarded),
    (Running, Cancelled),
    (Running, Running),
    (Retryable, Queued),
    (Retryable, Running),
    (Retryable, Discarded),
    (Retryable, Cancelled),
    (Discarded, Pending),
];

impl JobState {
    /// Every state, in the order of a job's life.
    pub const ALL: [Self; 7] = [Pending, Queued, Running, Retryable, Completed, Discarded, Cancelled];

    /// The state as it stands in documents and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Pending => "pending",
            Queued => "queued",
            Running => "running",
            Retryable => "retryable",
            Completed => "completed",
            Discarded => "discarded",
            Cancelled => "cancelled",
        }
    }

    /// Whether a job may change from this state to another.
    pub fn may_become(self, to: Self) -> bool {
        TRANSITIONS.contains(&(self, to))
    }

    /// The states from which this one can be reached.
    pub fn sources(self) -> impl Iterator<Item = Self> {
        TRANSITIONS.iter().filter(move |(_, to)| *to == self).map(|(from, _)| *from)
    }

    /// Whether nothing more will happen to the job by itself. A discarded job may still be redriven by a person.
    pub const fn is_finished(self) -> bool {
        matches!(self, Completed | Discarded | Cancelled)
    }
}

impl std::fmt::Display for JobState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_job_is_left_only_by_a_redrive() {
        for state in JobState::ALL.into_iter().filter(|state| state.is_finished()) {
            for to in JobState::ALL {
                assert_eq!(state.may_become(to), (state, to) == (Discarded, Pending), "{state} to {to}");
            }
        }
    }

    #[test]
    fn every_unfinished_job_can_be_claimed_and_every_running_one_can_end() {
        for state in JobState::ALL.into_iter().filter(|state| !state.is_finished()) {
            assert!(state.may_become(Running), "{state}");
            assert!(state.may_become(Cancelled), "{state}");
        }
        for end in [Completed, Discarded, Cancelled] {
            assert!(Running.may_become(end), "{end}");
        }
    }

    #[test]
    fn only_a_running_job_completes_or_is_retried_and_every_unfinished_one_may_be_discarded() {
        for to in [Completed, Retryable] {
            assert_eq!(to.sources().collect::<Vec<_>>(), [Running], "{to}");
        }
        let unfinished = JobState::ALL.into_iter().filter(|state| !state.is_finished());
        let sources: Vec<_> = Discarded.sources().collect();
        assert!(unfinished.clone().count() == sources.len() && unfinished.eq([Pending, Queued, Running, Retryable]));
        assert!(sources.iter().all(|state| !state.is_finished()), "{sources:?}");
    }

    #[test]
    fn the_table_names_no_change_twice() {
        for (index, change) in TRANSITIONS.iter().enumerate() {
            assert_eq!(TRANSITIONS.iter().position(|other| other == change), Some(index));
        }
    }
}
