//! Claiming a job: the right to run it, for as long as a lease lasts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Document, RawDocumentBuf, doc};
use crash_points::Point;
use messages::JobId;
use mongodb::options::ReturnDocument;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{AttemptOutcome, JobRecord, JobState, Jobs, UploadPosition, transitions};
use crate::Error;
use crate::batching::Shared;
use crate::codec::decode;
use crate::error_groups::Sighting;

/// Half of the shortest lease that a worker may be given.
const SHORTEST_WAIT: Duration = Duration::from_millis(2500);
/// How long claims wait together. A job may be locked, for a minute, by a transaction that somebody has left open.
const TOGETHER: Duration = Duration::from_secs(1);
/// How often a claim is made whose answer came too late to keep the job.
const TRIES: usize = 3;

/// When a job that is running may be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rescue {
    /// When its lease has run out.
    LeaseExpired,
    /// At once if this worker still holds it: the broker says that the worker's connection is gone.
    HolderGone { worker: String },
}

/// Who claims a job, and on which terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest<'a> {
    pub worker: &'a str,
    /// For how long, unless the lease is renewed.
    pub lease: Duration,
    /// When it may be taken from another worker.
    pub rescue: &'a Rescue,
    /// Crashes at which a job is poisoned.
    pub max_crashes: u32,
    /// Whether nothing else runs in this process. If something does, a job that one more crash would poison is left alone:
    /// another job beside it could be the cause of that crash.
    pub exclusive: bool,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// Run it.
    Claimed(Claimed),
    /// It has ended; settle the delivery.
    Finished(JobState),
    Busy {
        worker: String,
        /// Until when, unless the lease is renewed.
        lease_until: OffsetDateTime,
    },
    /// It failed and is to run again later: the relay will publish it then, so settle this early duplicate.
    NotDue {
        run_at: OffsetDateTime,
    },
    /// Its worker vanished, and that is one crash too many: discard it with [`Jobs::settle`] and [`Fence::Abandoned`](super::Fence).
    /// The job as it still is.
    Poisoned(Arc<JobRecord>),
    /// One more crash would poison it: claim it when nothing else runs in this process, with [`ClaimRequest::exclusive`].
    LastChance,
    Unknown,
}

/// A job that the caller holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    pub job: Arc<JobRecord>,
    /// The attempt's number: the fence of every later call.
    pub attempt: u32,
}

impl Jobs {
    /// Takes a job to run it. The attempt is recorded before the work begins, so a worker that dies leaves a trace: the next
    /// claim counts it as a crash. A worker that did not die takes that back with [`Jobs::retract_crash`]. A job that the
    /// caller holds already is [`Claim::Busy`] with its own name.
    ///
    /// Of any number of claims at once, one wins. After an error the job may be held in the caller's name; the lease frees it.
    pub async fn claim(&self, id: JobId, request: &ClaimRequest<'_>) -> Result<Claim, Error> {
        for _ in 0..TRIES {
            let asked = Instant::now();
            let claim = self.ask(id, request).await?;
            let Claim::Claimed(claimed) = &claim else { return Ok(claim) };
            self.note_crash(&claimed.job);
            // An answer that came late leaves little of the lease.
            if asked.elapsed() <= request.lease / 4 {
                return Ok(claim);
            }
            match self.renew(id, claimed.attempt, request.lease).await {
                Ok(()) => return Ok(claim),
                Err(Error::Fenced) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Unavailable("every answer to a claim came after its lease".into()))
    }

    /// Counts the crash that a claim has found, if it has.
    fn note_crash(&self, job: &JobRecord) {
        let [.., before, _] = job.attempts.as_slice() else { return };
        if before.outcome == Some(AttemptOutcome::Crashed) && before.number + 1 == job.attempt {
            Sighting::of(&job.kind, job.id, before).into_iter().for_each(|crash| self.error_groups.note(crash));
        }
    }

    async fn ask(&self, id: JobId, request: &ClaimRequest<'_>) -> Result<Claim, Error> {
        let asking = Asking::new(id, request, self.connection.config().timeout);
        let (_, claim) = self.claims.make(&self.connection, self, asking).await?;
        Ok(claim)
    }

    /// One statement: the server looks at the job, takes it or leaves it unchanged, and says which.
    async fn ask_alone(&self, asking: &Asking) -> Result<Claim, Error> {
        // Of a job that was not taken the same expression says why.
        let said = doc! { "$cond": [{ "$eq": ["$claim", asking.token] }, "claimed", asking.answer.clone()] };
        let asked = self
            .documents
            .find_one_and_update(doc! { "_id": asking.id.to_string() }, asking.update.clone())
            .projection(doc! { "job": "$$ROOT", "answer": said })
            .return_document(ReturnDocument::After)
            .max_time(asking.limit);
        let Some(found) = self.connection.bounded(asked).await? else { return Ok(Claim::Unknown) };
        read(&found, asking.token)
    }

    /// The statements of several claims in one command, and then a look at which of them were made. A job that is due and that
    /// nobody runs is taken so, by an update that need not say why not. Of any other job its claim learns more when it is made
    /// alone. `None`: that all of them are.
    async fn ask_together(&self, asking: &mut [Asking]) -> Result<Option<Vec<Option<Claim>>>, Error> {
        let statements = asking.iter_mut().map(|one| std::mem::take(&mut one.together)).collect();
        if !self.connection.update_each(&self.documents, statements, TOGETHER).await? {
            // A claim that was made is found by its token when it is made again.
            return Ok(None);
        }
        crash_points::reach(Point::ClaimsMade);
        let ids: Vec<String> = asking.iter().map(|one| one.id.to_string()).collect();
        let tokens: Vec<ObjectId> = asking.iter().map(|one| one.token).collect();
        let size = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let taken = self.documents.find(doc! { "_id": { "$in": ids }, "claim": { "$in": tokens } });
        let taken = self.connection.collect(taken.batch_size(size.saturating_add(1))).await?;
        let by_token = taken.iter().filter_map(|job| Some((job.get_object_id("claim").ok()?, job)));
        let by_token: HashMap<ObjectId, &RawDocumentBuf> = by_token.collect();
        // That it is malformed is told by the claim that is made alone.
        let job = |one: &Asking| decode("job", by_token.get(&one.token)?).ok();
        Ok(Some(asking.iter().map(|one| job(one).map(claimed)).collect()))
    }

    /// Takes back that a worker vanished while it ran a job, which that worker alone can say: it was stopped, cut off or without a
    /// database for longer than its lease, another one took over and counted a crash, and now it finds its attempt
    /// outnumbered. Says whether there was anything to take back. The other attempt goes on.
    ///
    /// A second call finds nothing. A job that has been discarded meanwhile stays so.
    pub async fn retract_crash(&self, id: JobId, worker: &str) -> Result<bool, Error> {
        let retracted =
            self.documents.update_one(transitions::falsely_crashed(id, worker), transitions::retract_crash(worker));
        Ok(self.connection.bounded(retracted).await?.matched_count == 1)
    }

    /// Extends the lease to `lease` from now. [`Error::Fenced`] when another attempt has taken over: stop the work.
    pub async fn renew(&self, id: JobId, attempt: u32, lease: Duration) -> Result<(), Error> {
        self.update_held(id, attempt, JobState::Running, transitions::renew(lease)).await
    }

    /// Notes how far a job's upload has come, so that the next attempt goes on there, and extends the lease as [`Jobs::renew`] does.
    ///
    /// Getting further than ever forgets the crashes so far: a job that gets on is not what makes workers vanish. What does so
    /// at one place never gets beyond it, and its crashes add up.
    ///
    /// Noting the same again is harmless.
    pub async fn note_progress(
        &self,
        id: JobId,
        attempt: u32,
        lease: Duration,
        position: &UploadPosition,
    ) -> Result<(), Error> {
        self.update_held(id, attempt, JobState::Running, transitions::note_progress(position, lease)).await
    }

    /// Leaves a job to another attempt, at shutdown or when it got on but its time is up: due at once, without counting a failure.
    pub async fn release(&self, id: JobId, attempt: u32) -> Result<(), Error> {
        let update = transitions::retry("$$NOW", AttemptOutcome::Released, None, 0, None);
        self.update_held(id, attempt, JobState::Retryable, update).await
    }

    /// Changes a job that an attempt holds. [`Error::Fenced`] if it does not.
    pub(super) async fn update_held(
        &self,
        id: JobId,
        attempt: u32,
        to: JobState,
        update: Vec<Document>,
    ) -> Result<(), Error> {
        let updated = self.documents.update_one(transitions::held(id, attempt, to), update);
        if self.connection.bounded(updated).await?.matched_count == 1 { Ok(()) } else { Err(Error::Fenced) }
    }
}

/// A claim as it is made.
pub(crate) struct Asking {
    id: JobId,
    /// What it comes to, by the job's document.
    answer: Document,
    update: Vec<Document>,
    /// The statement of a job that can be taken without a question.
    together: Document,
    /// Tells it from every other one.
    token: ObjectId,
    /// How long the server may take.
    limit: Duration,
}

impl Asking {
    fn new(id: JobId, request: &ClaimRequest<'_>, timeout: Duration) -> Self {
        let token = ObjectId::new();
        let answer = answer(request);
        let begun = transitions::take_over(request.worker, request.lease, token);
        let update = vec![doc! { "$replaceWith": { "$cond": [
            { "$eq": [answer.clone(), "claimed"] },
            { "$mergeObjects": ["$$ROOT", begun] },
            "$$ROOT",
        ] } }];
        // The server stops when we do, since an attempt that began after that would be nobody's; and early enough for the
        // lease, which it counts from when it was asked, not to have run out when it is given.
        let limit = (request.lease / 2).max(SHORTEST_WAIT).min(timeout);
        let begun = transitions::begin_attempt(request.worker, request.lease, token);
        let together = doc! { "q": takeable(id, request), "u": [{ "$set": begun }] };
        Self { id, answer, update, together, token, limit }
    }
}

impl Shared for Asking {
    type Family = Jobs;
    type Done = Claim;

    const NAME: &'static str = "claim";

    async fn make_all(jobs: &Jobs, asking: &mut Vec<Self>) -> Result<Option<Vec<Option<Claim>>>, Error> {
        jobs.ask_together(asking).await
    }

    async fn make(jobs: &Jobs, asking: &mut Self) -> Result<Claim, Error> {
        jobs.ask_alone(asking).await
    }
}

/// A job of which [`answer`] says "claimed" and that nobody runs.
fn takeable(id: JobId, request: &ClaimRequest<'_>) -> Document {
    let mut filter = transitions::waiting(id, JobState::Running);
    let is_not_retried = doc! { "$ne": ["$state", JobState::Retryable.as_str()] };
    filter.insert("$expr", doc! { "$or": [is_not_retried, { "$lte": ["$runAt", "$$NOW"] }] });
    if let Some(last) = last_chance(request) {
        filter.insert("crashes", doc! { "$lt": last });
    }
    filter
}

/// Crashes after which one more would poison a job, where others run beside it. Where a single crash poisons, every job would be
/// at its last chance, and none is.
fn last_chance(request: &ClaimRequest<'_>) -> Option<i64> {
    (!request.exclusive && request.max_crashes > 1).then(|| i64::from(request.max_crashes - 1))
}

/// What a claim of a job comes to, by the job's document.
fn answer(request: &ClaimRequest<'_>) -> Document {
    let state = |state: JobState| doc! { "$eq": ["$state", state.as_str()] };
    let finished = JobState::ALL.into_iter().filter(|state| !state.may_become(JobState::Running));
    let finished: Vec<&str> = finished.map(JobState::as_str).collect();
    // A crash that this claim finds counts.
    let crashes = doc! { "$add": ["$crashes", { "$cond": [state(JobState::Running), 1, 0] }] };
    let is_own = doc! { "$eq": ["$worker", { "$literal": request.worker }] };
    let is_held = doc! { "$or": [is_own, { "$not": [transitions::abandoned(request.rescue)] }] };
    let poisons = doc! { "$gte": [crashes.clone(), i64::from(request.max_crashes)] };
    let mut branches = vec![
        doc! { "case": { "$in": ["$state", finished] }, "then": "finished" },
        doc! { "case": { "$and": [state(JobState::Retryable), { "$gt": ["$runAt", "$$NOW"] }] }, "then": "not due" },
        doc! { "case": { "$and": [state(JobState::Running), is_held] }, "then": "busy" },
        doc! { "case": { "$and": [state(JobState::Running), poisons] }, "then": "poisoned" },
    ];
    if let Some(last) = last_chance(request) {
        branches.push(doc! { "case": { "$gte": [crashes, last] }, "then": "last chance" });
    }
    doc! { "$switch": { "branches": branches, "default": "claimed" } }
}

fn read(found: &RawDocumentBuf, token: ObjectId) -> Result<Claim, Error> {
    let (answer, job) = match (found.get_str("answer"), found.get_document("job")) {
        (Ok(answer), Ok(job)) => (answer, job),
        // The server repeats an answer that was lost on the way without the projection.
        _ if found.get_object_id("claim").is_ok_and(|claim| claim == token) => ("claimed", found.as_ref()),
        _ => return Err(Error::Unavailable("the answer to a claim was lost".into())),
    };
    let job: JobRecord = decode("job", job)?;
    Ok(match answer {
        "claimed" => claimed(job),
        "finished" => Claim::Finished(job.state),
        "not due" => Claim::NotDue { run_at: job.run_at },
        "poisoned" => Claim::Poisoned(Arc::new(job)),
        "last chance" => Claim::LastChance,
        _ => Claim::Busy {
            worker: job.worker.unwrap_or_default(),
            lease_until: job.lease_until.unwrap_or(job.updated_at),
        },
    })
}

fn claimed(job: JobRecord) -> Claim {
    Claim::Claimed(Claimed { attempt: job.attempt, job: Arc::new(job) })
}
