//! Claiming a job: the right to run it, for as long as a lease lasts.

use std::time::Duration;

use bson::Document;
use messages::JobId;
use mongodb::options::ReturnDocument;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::codec::decode;
use crate::jobs::document::JobDocument;
use crate::jobs::transitions;
use crate::{AttemptOutcome, Error, JobRecord, JobState, Outcome, Store};

/// Half of the shortest lease that a worker may be given.
const SHORTEST_WAIT: Duration = Duration::from_millis(2500);

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
    /// This claim found one worker crash too many. The job is given up, as by [`Store::discard`]; unless a newer upload had taken its
    /// place its file stays, so that a person may redrive it.
    Poisoned {
        /// The job as it is now.
        job: JobRecord,
        /// What is left to do.
        outcome: Outcome,
    },
    /// One more crash while it runs, and it is discarded as its cause. So that nothing else can be the cause of that crash, claim
    /// it when nothing else runs in this process, with [`Store::claim`]. Only [`Store::claim_beside_others`] answers so.
    LastChance,
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

/// On which terms a job is claimed.
struct Terms<'a> {
    rescue: &'a Rescue,
    max_crashes: u32,
    beside_others: bool,
}

impl Terms<'_> {
    /// Whether a job with so many crashes must run alone, and is not going to.
    fn is_last_chance(&self, crashes: u32) -> bool {
        self.beside_others && crashes >= transitions::last_chance(self.max_crashes)
    }
}

impl Store {
    /// Takes a job to run it. The attempt is recorded before the work begins, so a worker that dies leaves a trace: the next
    /// claim counts it as a crash, and at `max_crashes` the job is discarded. A worker that did not die takes that back with
    /// [`Store::retract_crash`]. A job that the caller holds already is [`Claim::Busy`] with its own name.
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
        self.claim_in_company(id, worker, lease, &Terms { rescue, max_crashes, beside_others: false }).await
    }

    /// As [`Store::claim`], for a process in which other jobs may run at the same time. A job that was running at all crashes
    /// but one of those it is allowed is answered with [`Claim::LastChance`] and not changed: if another job beside it made the
    /// process crash, it would be discarded without a fault of its own.
    ///
    /// # Errors
    ///
    /// As [`Store::claim`].
    pub async fn claim_beside_others(
        &self,
        id: JobId,
        worker: &str,
        lease: Duration,
        rescue: &Rescue,
        max_crashes: u32,
    ) -> Result<Claim, Error> {
        self.claim_in_company(id, worker, lease, &Terms { rescue, max_crashes, beside_others: true }).await
    }

    async fn claim_in_company(
        &self,
        id: JobId,
        worker: &str,
        lease: Duration,
        terms: &Terms<'_>,
    ) -> Result<Claim, Error> {
        // An attempt of another worker that may be abandoned.
        let mut seen = None;
        // A job that could not be claimed may be claimable by the time it is looked at, a few times at most.
        for _ in 0..5 {
            let filter = match seen {
                None => transitions::claimable(id, terms.max_crashes, terms.beside_others),
                Some(attempt) => {
                    transitions::takeable(id, attempt, terms.rescue, terms.max_crashes, terms.beside_others)
                }
            };
            if let Some(claimed) = self.take_hold(filter, worker, lease).await? {
                return Ok(Claim::Claimed(claimed));
            }
            let Some(job) = self.find_job(id).await? else { return Ok(Claim::Unknown) };
            let is_others = job.state == JobState::Running && job.worker.as_deref() != Some(worker);
            if is_others && seen != Some(job.attempt) {
                seen = Some(job.attempt);
                continue;
            }
            seen = None;
            if let Some(answer) = self.refuse(job, worker, terms).await? {
                return Ok(answer);
            }
        }
        Err(Error::Unavailable("the job changed with every look at it".into()))
    }

    /// Begins an attempt at a job that fits.
    async fn take_hold(&self, filter: Document, worker: &str, lease: Duration) -> Result<Option<Claimed>, Error> {
        let asked = Instant::now();
        // The server gives up when we do, since an attempt that began after that would be nobody's; and early enough for the lease,
        // which it counts from when it was asked, not to have run out when it is given.
        let limit = (lease / 2).max(SHORTEST_WAIT).min(self.config().timeout);
        let claimed = self
            .jobs()
            .find_one_and_update(filter, transitions::claim(worker, lease))
            .return_document(ReturnDocument::After)
            .max_time(limit);
        let Some(job) = self.bounded(claimed).await? else { return Ok(None) };
        let job = JobRecord::from(decode::<JobDocument>("job", &job)?);
        if asked.elapsed() > lease / 4 {
            match self.renew(job.id, job.attempt, lease).await {
                Ok(()) => {}
                Err(Error::Fenced) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Claimed { attempt: job.attempt, job }))
    }

    /// Why a job could not be claimed, unless it looks as if it can be now.
    async fn refuse(&self, job: JobRecord, worker: &str, terms: &Terms<'_>) -> Result<Option<Claim>, Error> {
        match job.state {
            JobState::Completed | JobState::Discarded | JobState::Cancelled => Ok(Some(Claim::Finished(job.state))),
            JobState::Pending | JobState::Queued | JobState::Retryable if terms.is_last_chance(job.crashes) => {
                Ok(Some(Claim::LastChance))
            }
            JobState::Pending | JobState::Queued => Ok(None),
            JobState::Retryable => Ok(Some(Claim::NotDue { run_at: job.run_at })),
            // Whoever asks has not vanished.
            JobState::Running if job.worker.as_deref() == Some(worker) => Ok(Some(busy(job))),
            JobState::Running if job.crashes + 1 >= terms.max_crashes => match self.poison(&job, terms.rescue).await {
                Ok(outcome) => Ok(self.find_job(job.id).await?.map(|job| Claim::Poisoned { job, outcome })),
                Err(Error::Fenced) => Ok(Some(busy(job))),
                Err(error) => Err(error),
            },
            JobState::Running if terms.is_last_chance(job.crashes + 1) => {
                let left = self.jobs().count_documents(transitions::left_behind(job.id, job.attempt, terms.rescue));
                let is_left = self.bounded(left).await? == 1;
                Ok(Some(if is_left { Claim::LastChance } else { busy(job) }))
            }
            JobState::Running => Ok(Some(busy(job))),
        }
    }

    /// Takes back that a worker vanished while it ran a job, which that worker alone can say: it was stopped, cut off or without a
    /// database for longer than its lease, another one took over and counted a crash, and now it finds its attempt
    /// outnumbered. Says whether there was anything to take back. The other attempt goes on.
    ///
    /// A second call finds nothing. A job that has been discarded meanwhile stays so.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`]: the crash may still be counted.
    pub async fn retract_crash(&self, id: JobId, worker: &str) -> Result<bool, Error> {
        let denied =
            self.jobs().update_one(transitions::falsely_crashed(id, worker), transitions::retract_crash(worker));
        Ok(self.bounded(denied).await?.matched_count == 1)
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
        let update = transitions::retry("$$NOW", AttemptOutcome::Released, None, 0);
        let released = self.bounded(self.jobs().update_one(held, update)).await?;
        if released.matched_count == 1 { Ok(()) } else { Err(Error::Fenced) }
    }
}

fn busy(job: JobRecord) -> Claim {
    Claim::Busy { worker: job.worker.unwrap_or_default(), lease_until: job.lease_until.unwrap_or(job.updated_at) }
}
