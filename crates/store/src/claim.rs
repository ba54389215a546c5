//! Claiming a job: the right to run it, for as long as a lease lasts.

use std::time::Duration;

use messages::JobId;
use time::OffsetDateTime;

use crate::{Error, JobRecord, JobState, Store};

/// When a job that is running may be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rescue {
    /// When its lease has run out.
    LeaseExpired,
    /// At once if this worker still holds it: the broker says that the worker's connection is gone.
    HolderGone {
        /// The worker that is gone.
        worker: String,
    },
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// Run it.
    Claimed(Claimed),
    /// It has ended; settle the delivery.
    Finished(JobState),
    /// Another attempt holds it.
    Busy {
        /// Who runs it.
        worker: String,
        /// Until when, unless the lease is renewed.
        lease_until: OffsetDateTime,
    },
    /// It failed and is to run again later: the relay will publish it then, so settle this early duplicate.
    NotDue {
        /// When.
        run_at: OffsetDateTime,
    },
    /// This claim found one worker crash too many. The job is discarded, as by [`Store::discard`]; its file stays, so that a
    /// person may redrive it.
    Poisoned(JobRecord),
    /// There is no such job.
    Unknown,
}

/// A job that the caller holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The job.
    pub job: JobRecord,
    /// The attempt's number: the fence of every later call.
    pub attempt: u32,
}

impl Store {
    /// Takes a job to run it. The attempt is recorded before the work begins, so a worker that dies leaves a trace: the next
    /// claim counts it as a crash, and at `max_crashes` the job is discarded.
    ///
    /// Of any number of claims at once, one wins. After an error the job may be held in the caller's name; the lease frees it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Unknown`], [`Error::Corrupt`] or [`Error::Database`].
    pub async fn claim(
        &self,
        _id: JobId,
        _worker: &str,
        _lease: Duration,
        _rescue: &Rescue,
        _max_crashes: u32,
    ) -> Result<Claim, Error> {
        todo!()
    }

    /// Extends the lease to `lease` from now.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] when another attempt has taken over: stop the work. [`Error::Unavailable`] or [`Error::Database`].
    pub async fn renew(&self, _id: JobId, _attempt: u32, _lease: Duration) -> Result<(), Error> {
        todo!()
    }

    /// Leaves a job to another worker at shutdown: due at once, without counting a failure.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`], [`Error::Unavailable`] or [`Error::Database`].
    pub async fn give_back(&self, _id: JobId, _attempt: u32) -> Result<(), Error> {
        todo!()
    }
}
