//! Claiming a job: the right to run it, for as long as a lease lasts.

use std::time::Duration;

use messages::JobId;
use mongodb::options::ReturnDocument;
use time::OffsetDateTime;

use crate::documents::{JobDocument, decode};
use crate::{AttemptOutcome, Error, JobRecord, JobState, Store, transitions};

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
        id: JobId,
        worker: &str,
        lease: Duration,
        rescue: &Rescue,
        max_crashes: u32,
    ) -> Result<Claim, Error> {
        // A job that could not be claimed may be claimable by the time it is looked at, a few times at most.
        for _ in 0..4 {
            let claimed = self
                .jobs()
                .find_one_and_update(transitions::claimable(id, rescue, max_crashes), transitions::claim(worker, lease))
                .return_document(ReturnDocument::After);
            if let Some(job) = self.bounded(claimed).await? {
                let job = JobRecord::from(decode::<JobDocument>("job", &job)?);
                return Ok(Claim::Claimed(Claimed { attempt: job.attempt, job }));
            }
            let Some(job) = self.find_job(id).await? else { return Ok(Claim::Unknown) };
            if let Some(answer) = self.refuse(job, rescue, max_crashes).await? {
                return Ok(answer);
            }
        }
        Err(Error::Unavailable("the job changed with every look at it".into()))
    }

    /// Why a job could not be claimed, unless it looks as if it can be now.
    async fn refuse(&self, job: JobRecord, rescue: &Rescue, max_crashes: u32) -> Result<Option<Claim>, Error> {
        match job.state {
            JobState::Completed | JobState::Discarded | JobState::Cancelled => Ok(Some(Claim::Finished(job.state))),
            JobState::Pending | JobState::Queued => Ok(None),
            JobState::Retryable => Ok(Some(Claim::NotDue { run_at: job.run_at })),
            JobState::Running if job.crashes + 1 >= max_crashes => match self.poison(&job, rescue).await {
                Ok(JobState::Discarded) => Ok(self.find_job(job.id).await?.map(Claim::Poisoned)),
                Ok(state) => Ok(Some(Claim::Finished(state))),
                Err(Error::Fenced) => Ok(Some(busy(job))),
                Err(error) => Err(error),
            },
            JobState::Running => Ok(Some(busy(job))),
        }
    }

    /// Extends the lease to `lease` from now.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] when another attempt has taken over: stop the work. [`Error::Unavailable`] or [`Error::Database`].
    pub async fn renew(&self, id: JobId, attempt: u32, lease: Duration) -> Result<(), Error> {
        let held = transitions::held(id, attempt, JobState::Running);
        let renewed = self.bounded(self.jobs().update_one(held, transitions::renew(lease))).await?;
        if renewed.matched_count == 1 { Ok(()) } else { Err(Error::Fenced) }
    }

    /// Leaves a job to another attempt, at shutdown or when it got on but its time is up: due at once, without counting a failure.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`], [`Error::Unavailable`] or [`Error::Database`].
    pub async fn release(&self, id: JobId, attempt: u32) -> Result<(), Error> {
        let held = transitions::held(id, attempt, JobState::Retryable);
        let update = transitions::put_off("$$NOW", AttemptOutcome::Released, None, 0);
        let released = self.bounded(self.jobs().update_one(held, update)).await?;
        if released.matched_count == 1 { Ok(()) } else { Err(Error::Fenced) }
    }
}

fn busy(job: JobRecord) -> Claim {
    Claim::Busy { worker: job.worker.unwrap_or_default(), lease_until: job.lease_until.unwrap_or(job.updated_at) }
}
