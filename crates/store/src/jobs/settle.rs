//! Ending an attempt: one transaction in which the job ends together with everything that its outcome means. Jobs that end at
//! the same time share it.

use std::sync::Arc;
use std::time::Duration;

use bson::{DateTime, Document, RawDocumentBuf, doc};
use futures_util::future::BoxFuture;
use futures_util::{TryStreamExt, stream::FuturesUnordered};
use messages::{AssetId, Event, EventId, EventMessage, FileId, Job, JobId, UserId};
use mongodb::ClientSession;
use tokio::sync::MutexGuard;

use super::failure::Failed;
use super::{AttemptOutcome, CancelReason, FailureCode, JobRecord, JobState, Jobs, Rescue, transitions};
use crate::Error;
use crate::batching::{Rounds, Shared};
use crate::codec::{after, encode};
use crate::connection::Documents;
use crate::error_groups::Sighting;

/// Who may end a job.
#[derive(Debug, Clone)]
pub enum Fence {
    /// The attempt that holds it.
    Attempt(u32),
    /// Anybody, while it is left behind by the worker of this attempt.
    Abandoned { attempt: u32, rescue: Rescue },
    /// Whoever runs the system, whether or not somebody runs it, as long as no other attempt has begun than this one (0: none). An
    /// attempt that runs is fenced from here on.
    Unfinished { attempt: u32 },
}

impl Fence {
    fn filter(&self, id: JobId, to: JobState) -> Document {
        match self {
            Self::Attempt(attempt) => transitions::held(id, *attempt, to),
            Self::Abandoned { attempt, rescue } => {
                let mut filter = transitions::held(id, *attempt, to);
                filter.insert("$expr", transitions::abandoned(rescue));
                filter
            }
            Self::Unfinished { attempt } => {
                let mut filter = transitions::unfinished(id, to);
                filter.insert("attempt", i64::from(*attempt));
                filter
            }
        }
    }
}

/// How a job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Completed,
    /// It is no longer wanted.
    Cancelled(CancelReason),
    /// It will not be tried again.
    Discarded(Discard),
}

/// Why a job is discarded, for programs. The names are permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscardCode {
    /// The media host refuses the file, or has another one in its place.
    Refused,
    /// The file is not in the spool as it was accepted.
    FileLost,
    TooManyFailures,
    /// Of workers that ran it.
    TooManyCrashes,
    /// The job is of a kind that nobody performs, or about nothing that there is.
    Impossible,
    /// Whoever runs the system has decided so.
    ByOperator,
}

impl DiscardCode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::FileLost => "file-lost",
            Self::TooManyFailures => "too-many-failures",
            Self::TooManyCrashes => "too-many-crashes",
            Self::Impossible => "impossible",
            Self::ByOperator => "by-operator",
        }
    }
}

/// Why a job is discarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discard {
    pub code: DiscardCode,
    /// For the owner to act on.
    pub reason: String,
    /// Whether a redrive may help: then what the job needs is kept.
    pub replayable: bool,
    /// For those who run the system: what the last attempt met.
    pub(crate) error: String,
    /// The same for programs. None: it met what the job is discarded for.
    pub(crate) met: Option<FailureCode>,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) failures: i32,
    pub(crate) crashes: i32,
}

impl Discard {
    /// The work can never succeed.
    pub fn new(code: DiscardCode, reason: impl Into<String>, replayable: bool) -> Self {
        let reason = reason.into();
        let error = reason.clone();
        let outcome = AttemptOutcome::Discarded;
        Self { code, reason, replayable, error, met: None, outcome, failures: 0, crashes: 0 }
    }

    /// The failure was the last that the job is allowed.
    pub fn out_of_attempts(retry: &Retry) -> Self {
        // What went wrong each time stands in the attempts, for those who run the system.
        let reason = "gave up after too many failures".to_owned();
        let failures = i32::from(retry.counts);
        Self {
            code: DiscardCode::TooManyFailures,
            reason,
            replayable: true,
            error: retry.error.clone(),
            met: Some(retry.code),
            outcome: retry.outcome(),
            failures,
            crashes: 0,
        }
    }

    /// Whoever runs the system has decided so, and may redrive it.
    pub fn by_operator() -> Self {
        Self::new(DiscardCode::ByOperator, "discarded by an operator", true)
    }

    /// One worker too many vanished while it ran the job.
    pub fn poisoned(job: &JobRecord) -> Self {
        let reason = format!("{} workers vanished while they ran it", job.crashes + 1);
        let error = reason.clone();
        Self {
            code: DiscardCode::TooManyCrashes,
            reason,
            replayable: true,
            error,
            met: Some(FailureCode::Crashed),
            outcome: AttemptOutcome::Crashed,
            failures: 0,
            crashes: 1,
        }
    }

    /// How the last attempt failed.
    pub(crate) fn failed(&self) -> Failed<'_> {
        match self.met {
            Some(met) => Failed::of(met, &self.error),
            None => Failed { error: &self.error, code: self.code.as_str(), status: None },
        }
    }

    /// Whether there was no attempt, or one that the other side refused: then nothing can have come of it.
    pub(crate) fn is_refused_at_once(&self, job: &JobRecord) -> bool {
        let was_refused = self.outcome == AttemptOutcome::Discarded && self.code != DiscardCode::ByOperator;
        job.attempt == 0 || (job.attempt == 1 && was_refused)
    }
}

/// A failure that may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// When to try again, counted from the moment that this is recorded.
    pub after: Duration,
    pub error: String,
    /// The error for programs, and for what the owner reads.
    pub code: FailureCode,
    /// Whether it counts against the job's attempts. A wrong configuration of ours does not, nor does what was not tried.
    pub counts: bool,
}

impl Retry {
    fn outcome(&self) -> AttemptOutcome {
        match self.code {
            _ if self.counts => AttemptOutcome::Retry,
            FailureCode::Configuration => AttemptOutcome::Operator,
            _ => AttemptOutcome::Released,
        }
    }
}

/// What is durable, and what is left to do about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub state: JobState,
    /// Files that nothing needs any more: remove them.
    pub files: Vec<FileId>,
    /// Jobs that the outcome brought about. Publish them; the relay does if nobody else does.
    pub follow_ups: Vec<JobRecord>,
    /// What has happened. Publish it, then [`note_published`](crate::Webhooks::note_published); the relay does if nobody else does.
    pub events: Vec<EventMessage>,
    /// For its group, once the outcome is durable.
    failed: Option<Box<Sighting>>,
}

impl Outcome {
    /// Nothing is left to do.
    pub fn of(state: JobState) -> Self {
        Self { state, files: Vec::new(), follow_ups: Vec::new(), events: Vec::new(), failed: None }
    }
}

/// Knows what the outcome of an attempt means.
pub trait Record: Send + Sync {
    /// Writes it. The transaction may run several times; only the last time counts.
    fn record<'a>(&'a self, settle: &'a mut Settle<'_>) -> BoxFuture<'a, Result<End, Error>>;

    /// Whether it may share a transaction with others: what it writes is little, and soon written.
    fn shares(&self) -> bool {
        true
    }
}

/// The transaction that ends a job, and perhaps others.
pub struct Settle<'a> {
    jobs: &'a Jobs,
    rounds: &'a Rounds<'a>,
    job: &'a JobRecord,
    now: DateTime,
    written: Written,
}

/// What of an outcome is written with the end of its job.
struct Written {
    kept: Duration,
    files: Vec<FileId>,
    follow_ups: Vec<JobRecord>,
    events: Vec<(EventMessage, Option<UserId>)>,
}

/// A job that is to end.
pub(crate) struct Ending {
    job: Arc<JobRecord>,
    fence: Fence,
    record: Arc<dyn Record>,
}

impl Written {
    const fn nothing() -> Self {
        Self { kept: transitions::FINISHED_KEPT, files: Vec::new(), follow_ups: Vec::new(), events: Vec::new() }
    }
}

impl<'a> Settle<'a> {
    pub fn job(&self) -> &'a JobRecord {
        self.job
    }

    /// Keeps the job for another time than a week once it is completed or cancelled.
    pub fn keep_for(&mut self, time: Duration) {
        self.written.kept = time;
    }

    /// Adds a job that the outcome brings about.
    pub fn submit(&mut self, job: impl Into<Job>, owner: Option<UserId>, asset: Option<AssetId>) {
        let job = self.jobs.new_job(JobId::new(), &job.into(), owner, asset, None, self.now);
        self.written.follow_ups.push(job);
    }

    /// Adds an event. `owner`: whom it concerns.
    pub fn announce(&mut self, event: impl Into<Event>, owner: Option<UserId>) {
        self.written.events.push((EventMessage { id: EventId::new(), event: event.into() }, owner));
    }

    /// Says that nothing needs a file once the outcome is durable.
    pub fn release(&mut self, file: FileId) {
        self.written.files.push(file);
    }

    /// The time by the server's clock.
    pub(crate) fn now(&self) -> DateTime {
        self.now
    }

    /// Updates the document that a filter finds, which names its id, and answers with what it was before. Jobs that share the
    /// transaction share the command.
    pub(crate) async fn update(
        &self,
        documents: &Documents,
        filter: Document,
        update: Document,
        projection: Document,
    ) -> Result<Option<RawDocumentBuf>, Error> {
        self.rounds.update(documents, filter, update, projection).await
    }

    /// For statements of this job alone.
    pub(crate) async fn session(&self) -> MutexGuard<'a, &'a mut ClientSession> {
        self.rounds.session.lock().await
    }
}

impl Shared for Ending {
    type Family = Jobs;
    type Done = Outcome;

    const NAME: &'static str = "transaction settle";

    async fn make_all(jobs: &Jobs, endings: &mut Vec<Self>) -> Result<Option<Vec<Option<Outcome>>>, Error> {
        let ended = jobs
            .connection
            .shared_transaction(jobs, endings, |jobs, session, endings| Box::pin(jobs.end_all(session, endings)));
        Ok(ended.await?.map(|outcomes| outcomes.into_iter().map(Some).collect()))
    }

    async fn make(jobs: &Jobs, ending: &mut Self) -> Result<Outcome, Error> {
        let ended = jobs.connection.transaction(jobs, ending, |jobs, session, ending| {
            Box::pin(jobs.end_all(session, std::slice::from_ref(ending)))
        });
        ended.await?.pop().ok_or(Error::Fenced)
    }
}

impl Jobs {
    /// Ends a job. What `record` writes, the end that it answers with, follow-up jobs and events: all of it, or nothing.
    /// [`Error::Fenced`] if the fence does not hold, also on a second call.
    pub async fn settle(&self, job: &Arc<JobRecord>, fence: Fence, record: Arc<dyn Record>) -> Result<Outcome, Error> {
        let mut ending = Ending { job: Arc::clone(job), fence, record };
        let mut outcome = match ending.record.shares() {
            true => self.endings.make(&self.connection, self, ending).await?.1,
            false => Ending::make(self, &mut ending).await?,
        };
        outcome.failed.take().into_iter().for_each(|failed| self.error_groups.note(*failed));
        Ok(outcome)
    }

    /// Ends jobs, each with what its outcome means; all of them or none. [`Error::Fenced`] if one of the fences does not hold.
    async fn end_all(&self, session: &mut ClientSession, endings: &[Ending]) -> Result<Vec<Outcome>, Error> {
        let now = self.connection.now().await?;
        let rounds = &Rounds::new(&self.connection, &mut *session, endings.len());
        let records = endings.iter().enumerate().map(|(at, Ending { job, record, .. })| async move {
            let mut settle = Settle { jobs: self, rounds, job, now, written: Written::nothing() };
            let end = record.record(&mut settle).await?;
            rounds.end().await?;
            Ok::<_, Error>((at, end, settle.written))
        });
        // The first error ends all of them, however many. Others would wait for ever for whoever met it.
        let mut recorded: Vec<_> = records.collect::<FuturesUnordered<_>>().try_collect().await?;
        recorded.sort_unstable_by_key(|(at, ..)| *at);

        let (mut ends, mut outcomes) = (Vec::with_capacity(endings.len()), Vec::with_capacity(endings.len()));
        let (mut follow_ups, mut events) = (Vec::new(), Vec::new());
        for (Ending { job, fence, .. }, (_, end, written)) in endings.iter().zip(recorded) {
            let mut failed = None;
            let (state, mut update) = match &end {
                End::Completed => (JobState::Completed, transitions::complete(written.kept)),
                End::Cancelled(reason) => (JobState::Cancelled, transitions::cancel(*reason, written.kept)),
                End::Discarded(discard) => {
                    let sighting = discard.failed().sighting(job);
                    let update = transitions::discard(discard, sighting.group);
                    failed = Some(Box::new(sighting));
                    (JobState::Discarded, update)
                }
            };
            let events_of: Vec<EventId> = written.events.iter().map(|(message, _)| message.id).collect();
            let follow_ups_of: Vec<JobId> = written.follow_ups.iter().map(|job| job.id).collect();
            update.extend(transitions::bring_about(&events_of, &follow_ups_of));
            ends.push(doc! { "q": fence.filter(job.id, state), "u": update });
            for follow_up in &written.follow_ups {
                follow_ups.push(encode(follow_up)?);
            }
            events.extend(written.events.iter().cloned());
            let messages = written.events.into_iter().map(|(message, _)| message).collect();
            let Written { files, follow_ups, .. } = written;
            outcomes.push(Outcome { state, files, follow_ups, events: messages, failed });
        }
        self.connection.update_all(session, &self.documents, ends).await?;
        if !follow_ups.is_empty() {
            self.documents.insert_many(follow_ups).session(&mut *session).await?;
        }
        self.events.insert_all(session, &events, now).await?;
        Ok(outcomes)
    }

    /// Ends an attempt, to be followed by another one. `false`: the job is allowed no more failures; nothing was written.
    /// [`Error::Fenced`] if the attempt does not hold the job.
    pub async fn retry(&self, job: &JobRecord, retry: &Retry) -> Result<bool, Error> {
        if retry.counts && job.failures + 1 >= job.max_attempts {
            return Ok(false);
        }
        let (run_at, failures) = (after(retry.after), i32::from(retry.counts));
        let failed = Failed::of(retry.code, &retry.error);
        // Of one that did what it was for there is nothing to tell.
        let sighting = (retry.code != FailureCode::SecondLook).then(|| failed.sighting(job));
        let group = sighting.as_ref().map(|sighting| sighting.group);
        let update = transitions::retry(run_at, retry.outcome(), Some(failed), failures, group);
        self.update_held(job.id, job.attempt, JobState::Retryable, update).await?;
        sighting.into_iter().for_each(|sighting| self.error_groups.note(sighting));
        Ok(true)
    }
}
