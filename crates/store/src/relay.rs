//! What the relay looks for: jobs that are due and at no broker.
//!
//! Several relays may run. Each `take_` method takes a job by a conditional update that puts off the time at which a relay
//! looks at it again, so that one relay publishes a job, and if that relay dies, another does after `hold`.

use std::time::Duration;

use messages::{Job, JobId};
use time::OffsetDateTime;

use crate::{Error, JobState, Store};

/// A job to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The job's id.
    pub id: JobId,
    /// What to do.
    pub job: Job,
    /// Trace context of the request that submitted it.
    pub traceparent: Option<String>,
    /// The queue to publish it to.
    pub queue: String,
}

/// How many jobs of a queue are in a state, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueAge {
    /// The queue.
    pub queue: String,
    /// The state.
    pub state: JobState,
    /// How many.
    pub count: u64,
    /// The earliest time at which a relay should look at one of them: the longer ago, the more is wrong.
    pub earliest_due: OffsetDateTime,
}

impl Store {
    /// Takes jobs that are pending or retryable and due at `now`, earliest first. Publish each, then
    /// [`Store::mark_queued`]. Jobs of a kind that this version does not know stay for a newer one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn take_due(&self, _now: OffsetDateTime, _limit: u32, _hold: Duration) -> Result<Vec<Due>, Error> {
        todo!()
    }

    /// When the next pending or retryable job is due, possibly in the past.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn next_due_at(&self) -> Result<Option<OffsetDateTime>, Error> {
        todo!()
    }

    /// Takes jobs whose worker let the lease run out before `now`. They stay running: publish each, and the claim of that
    /// message counts the crash.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn take_abandoned(&self, _now: OffsetDateTime, _limit: u32, _hold: Duration) -> Result<Vec<Due>, Error> {
        todo!()
    }

    /// Takes jobs of a queue that have been queued for longer than a message should take. They stay queued: publish each, if
    /// the broker says that the queue is empty, since then their messages are lost.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn take_lost(
        &self,
        _now: OffsetDateTime,
        _queue: &str,
        _limit: u32,
        _hold: Duration,
    ) -> Result<Vec<Due>, Error> {
        todo!()
    }

    /// The unfinished jobs by queue and state, for readiness and metrics. Answered from an index.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn queue_ages(&self) -> Result<Vec<QueueAge>, Error> {
        todo!()
    }
}
