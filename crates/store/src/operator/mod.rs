//! What whoever runs the system decides about a job: to retry, discard or cancel it.
//!
//! Each is one transaction, or one conditional update, that says what the job was found in. A second call finds it made.

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use messages::{ActOnJobs, DeliverWebhook, JobId, Payload, UploadMedia};
use mongodb::options::ReturnDocument;

use crate::bulk::Bulk;
use crate::codec::decode_found;
use crate::jobs::{Jobs, transitions};
use crate::webhooks::Webhooks;
use crate::{
    Cancel, CancelRefusal, Cancelled, Discard, End, Error, Fence, JobRecord, JobState, Media, Outcome, Record, Redrive,
    Refusal, Settle,
};

/// How often a decision is made anew about a job that changes meanwhile.
const TRIES: usize = 5;

/// Decides about jobs.
#[derive(Debug, Clone)]
pub struct Operator {
    jobs: Jobs,
    media: Media,
    webhooks: Webhooks,
    bulk: Bulk,
}

/// What became of a wish to have a job tried again.
#[derive(Debug, Clone, PartialEq)]
pub enum Retried {
    /// It was discarded, and is pending again.
    Redriven(Box<JobRecord>),
    /// It waited for its next attempt, which is due now.
    Hurried(Box<JobRecord>),
    /// Its next attempt was due already. Nothing was written.
    Due(Box<JobRecord>),
    Refused(Refused),
}

/// What became of a wish to have a job ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    /// The job as it is now, and what is left to do about it.
    Done {
        job: Box<JobRecord>,
        outcome: Outcome,
    },
    Refused(Refused),
}

/// Why a job stays what it is. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no such job, perhaps no longer.
    Unknown,
    /// In this state there is nothing to retry.
    NothingToRetry(JobState),
    /// It cannot be redriven.
    Redrive(Refusal),
    /// Nobody waits for it but the system itself.
    NotCancellable,
    Ended(JobState),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such job (any more)"),
            Self::NothingToRetry(state) => {
                write!(f, "the job is {state}, and only one that is discarded or waits for its next attempt is retried")
            }
            Self::Redrive(refusal) => refusal.fmt(f),
            Self::NotCancellable => {
                f.write_str("only uploads can be cancelled, and this job is none; it can be discarded")
            }
            Self::Ended(state) => write!(f, "the job is {state}, and has ended"),
        }
    }
}

/// Discards a job, of whatever kind.
struct Discarding {
    operator: Operator,
    discard: Discard,
}

impl Record for Discarding {
    fn record<'a>(&'a self, settle: &'a mut Settle<'_>) -> BoxFuture<'a, Result<End, Error>> {
        self.operator.discarded(settle, &self.discard).boxed()
    }
}

impl Operator {
    pub(crate) fn new(media: &Media, webhooks: &Webhooks, bulk: &Bulk, jobs: &Jobs) -> Self {
        Self { jobs: jobs.clone(), media: media.clone(), webhooks: webhooks.clone(), bulk: bulk.clone() }
    }

    /// Has a discarded job redriven (see [`Media::redrive`]), or one that waits for its next attempt tried at once. That the file of an
    /// upload is still there is for the caller to see. A second call finds it pending and is refused, or due and writes nothing.
    pub async fn retry(&self, id: JobId) -> Result<Retried, Error> {
        for _ in 0..TRIES {
            let Some(job) = self.jobs.find(id).await? else { return Ok(Retried::Refused(Refused::Unknown)) };
            match job.state {
                JobState::Discarded => match self.media.redrive(id).await? {
                    Redrive::Done(job) => return Ok(Retried::Redriven(job)),
                    // Somebody else was faster.
                    Redrive::Refused(Refusal::NotDiscarded(_)) => {}
                    Redrive::Refused(refusal) => return Ok(Retried::Refused(Refused::Redrive(refusal))),
                },
                JobState::Retryable => {
                    let update =
                        self.jobs.documents.find_one_and_update(transitions::not_due(&[id]), transitions::hurry());
                    let hurried = update.return_document(ReturnDocument::After);
                    return match decode_found("job", self.jobs.connection.bounded(hurried).await?)? {
                        Some(job) => Ok(Retried::Hurried(Box::new(job))),
                        None => Ok(Retried::Due(Box::new(job))),
                    };
                }
                state => return Ok(Retried::Refused(Refused::NothingToRetry(state))),
            }
        }
        Err(changes_all_the_time())
    }

    /// Discards an unfinished job, whether or not it runs, with all that its kind's discard means; it may be retried. An attempt that
    /// runs finds itself fenced. A second call finds it ended and is refused.
    pub async fn discard(&self, id: JobId) -> Result<Decided, Error> {
        for _ in 0..TRIES {
            let Some(job) = self.jobs.find(id).await? else { return Ok(Decided::Refused(Refused::Unknown)) };
            if job.state.is_finished() {
                return Ok(Decided::Refused(Refused::Ended(job.state)));
            }
            match self.discard_found(job).await {
                Err(Error::Fenced) => {}
                Err(error) => return Err(error),
                Ok(outcome) => {
                    let job = self.jobs.find(id).await?.ok_or(Error::NotFound { what: "job" })?;
                    return Ok(Decided::Done { job: Box::new(job), outcome });
                }
            }
        }
        Err(changes_all_the_time())
    }

    /// The same of a job as it was found. [`Error::Fenced`] if another attempt has begun since, or it has ended.
    pub(crate) async fn discard_found(&self, job: JobRecord) -> Result<Outcome, Error> {
        let fence = Fence::Unfinished { attempt: job.attempt };
        let record = Discarding { operator: self.clone(), discard: Discard::by_operator() };
        self.jobs.settle(&Arc::new(job), fence, Arc::new(record)).await
    }

    /// Cancels anybody's unfinished upload: see [`Media::cancel`].
    pub async fn cancel(&self, id: JobId) -> Result<Decided, Error> {
        Ok(match self.media.cancel_by_operator(id).await? {
            Cancel::Done(cancelled) => {
                let Cancelled { job, outcome, .. } = *cancelled;
                Decided::Done { job: Box::new(job), outcome }
            }
            Cancel::Refused(CancelRefusal::Unknown) => Decided::Refused(Refused::Unknown),
            Cancel::Refused(CancelRefusal::NotAnUpload) => Decided::Refused(Refused::NotCancellable),
            Cancel::Refused(CancelRefusal::Ended(state)) => Decided::Refused(Refused::Ended(state)),
        })
    }

    /// What it means that a job is discarded whose handler is not at hand: the same as its handler writes. Other kinds mean nothing
    /// beyond the job.
    async fn discarded(&self, settle: &mut Settle<'_>, discard: &Discard) -> Result<End, Error> {
        match settle.job().kind.as_str() {
            UploadMedia::KIND => self.media.discard_upload(settle, discard).await,
            DeliverWebhook::KIND => self.webhooks.discard_delivery(settle, discard).await,
            ActOnJobs::KIND => self.bulk.discard_action(settle, discard).await,
            _ => Ok(End::Discarded(discard.clone())),
        }
    }
}

fn changes_all_the_time() -> Error {
    Error::Unavailable("the job changes all the time".into())
}
