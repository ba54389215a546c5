//! Filters and updates of the job state machine. Every filter takes the states from [`crate::TRANSITIONS`]; every update
//! takes the time from the server, so that the clocks of workers and relays need not agree.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use messages::{EventId, Job, JobId};

use crate::codec::{after, milliseconds};
use crate::error_groups::{ErrorGroupId, normalised};
use crate::jobs::failure::Failed;
use crate::jobs::{AttemptOutcome, CancelReason, Discard, FailureCode, JobState, Rescue, UploadPosition};

/// Attempts that a job remembers.
const ATTEMPTS_KEPT: i32 = 250;
/// Events, and jobs, that a job remembers as brought about by it.
const BROUGHT_ABOUT_KEPT: i32 = 50;
/// What is noted of an attempt whose worker vanished.
const VANISHED: &str = "its worker vanished";
/// How long a completed or cancelled job is kept, unless its handler says otherwise.
pub(crate) const FINISHED_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a discarded job, and the file of a replayable one, is kept.
pub(crate) const DISCARDED_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A job that may change to a state, whether or not somebody runs it: for an end that every unfinished job may have.
pub(crate) fn unfinished(id: JobId, to: JobState) -> Document {
    let from: Vec<&str> = to.sources().map(JobState::as_str).collect();
    doc! { "_id": id.to_string(), "state": { "$in": from } }
}

/// A job that nobody runs and that may change to a state.
pub(crate) fn waiting(id: JobId, to: JobState) -> Document {
    let from: Vec<&str> = to.sources().filter(|from| *from != JobState::Running).map(JobState::as_str).collect();
    doc! { "_id": id.to_string(), "state": { "$in": from } }
}

/// A discarded job, if it may change to a state.
pub(crate) fn discarded(id: JobId, to: JobState) -> Document {
    doc! { "_id": id.to_string(), "state": { "$in": only(JobState::Discarded, to) } }
}

/// The same of several jobs.
pub(crate) fn all_discarded(ids: &[JobId], to: JobState) -> Document {
    let ids: Vec<String> = ids.iter().map(JobId::to_string).collect();
    doc! { "_id": { "$in": ids }, "state": { "$in": only(JobState::Discarded, to) } }
}

/// A state, if it may become another.
fn only(from: JobState, to: JobState) -> Vec<&'static str> {
    to.sources().filter(|source| *source == from).map(JobState::as_str).collect()
}

/// Jobs of a queue that were published at least so long `ago`, if they may be published again and were not made so since it was
/// `replaced` so long ago.
pub(crate) fn published_before(ago: Duration, replaced: Duration, queue: &str, check_after: Duration) -> Document {
    // A queued job is due so long after it was published.
    let until = doc! { "$add": ["$$NOW", milliseconds(check_after) - milliseconds(ago)] };
    doc! {
        "state": { "$in": only(JobState::Queued, JobState::Pending) },
        "queue": queue,
        "dueAt": { "$gt": DateTime::MIN },
        "$expr": { "$and": [
            { "$lte": ["$dueAt", until] },
            { "$lt": ["$lostAt", { "$subtract": ["$$NOW", milliseconds(replaced)] }] },
        ] },
    }
}

/// Makes a job one that is to be published, at once.
pub(crate) fn lose() -> Vec<Document> {
    let state = JobState::Pending.as_str();
    vec![doc! { "$set": { "state": state, "dueAt": "$$NOW", "lostAt": "$$NOW", "updatedAt": "$$NOW" } }]
}

/// Jobs whose messages are at the broker.
///
/// Whoever published it says so a little later. If an attempt has begun and failed by then, the message is gone, and the job
/// waits for its next time: it counts as queued again only after a relay has taken it, which shows in `dueAt`.
pub(crate) fn published(ids: &[JobId]) -> Document {
    let taken = doc! { "$and": [{ "$lte": ["$runAt", "$$NOW"] }, { "$gt": ["$dueAt", "$runAt"] }] };
    let ids: Vec<String> = ids.iter().map(JobId::to_string).collect();
    let from: Vec<&str> = JobState::Queued.sources().map(JobState::as_str).collect();
    doc! {
        "_id": { "$in": ids },
        "state": { "$in": from },
        "$expr": { "$or": [{ "$ne": ["$state", JobState::Retryable.as_str()] }, taken] },
    }
}

/// The same of jobs that were published for the first time.
pub(crate) fn published_first(ids: &[JobId]) -> Document {
    let ids: Vec<String> = ids.iter().map(JobId::to_string).collect();
    doc! { "_id": { "$in": ids }, "state": { "$in": only(JobState::Pending, JobState::Queued) } }
}

/// A job that an attempt holds and that may change to a state.
pub(crate) fn held(id: JobId, attempt: u32, to: JobState) -> Document {
    let from: Vec<&str> = to.sources().filter(|from| *from == JobState::Running).map(JobState::as_str).collect();
    doc! { "_id": id.to_string(), "state": { "$in": from }, "attempt": i64::from(attempt) }
}

/// Whether the attempt that runs a job is abandoned.
pub(crate) fn abandoned(rescue: &Rescue) -> Document {
    let expired = doc! { "$lt": ["$leaseUntil", "$$NOW"] };
    match rescue {
        Rescue::LeaseExpired => expired,
        Rescue::HolderGone { worker } => doc! { "$or": [expired, { "$eq": ["$worker", { "$literal": worker }] }] },
    }
}

/// What of a job that nobody runs changes when an attempt begins. The token tells this claim from every other one.
pub(crate) fn begin_attempt(worker: &str, lease: Duration, token: ObjectId) -> Document {
    begin(worker, lease, token, "$attempts".into())
}

/// The same of a job that may be running: then that attempt has crashed.
pub(crate) fn take_over(worker: &str, lease: Duration, token: ObjectId) -> Document {
    let was_running = doc! { "$eq": ["$state", JobState::Running.as_str()] };
    let vanished = Failed::of(FailureCode::Crashed, VANISHED);
    let crashed = close_attempt(AttemptOutcome::Crashed, Some(vanished));
    let before = doc! { "$cond": [was_running.clone(), crashed, "$attempts"] };
    let mut begun = begin(worker, lease, token, before.into());
    begun.insert("errorGroup", doc! { "$cond": [was_running.clone(), crashed_group(), "$errorGroup"] });
    begun.insert("crashes", doc! { "$add": ["$crashes", { "$cond": [was_running, 1, 0] }] });
    begun
}

/// The group of a crash, by the kind of the job, which a claim does not know.
fn crashed_group() -> Document {
    let (code, message) = (FailureCode::Crashed.as_str(), normalised(VANISHED));
    let group = |kind: &str| ErrorGroupId::of(kind, code, None, &message).to_string();
    let of_kind = |kind: &&str| doc! { "case": { "$eq": ["$kind", *kind] }, "then": group(kind) };
    let branches: Vec<Document> = Job::KINDS.iter().map(of_kind).collect();
    doc! { "$switch": { "branches": branches, "default": "$errorGroup" } }
}

fn begin(worker: &str, lease: Duration, token: ObjectId, before: Bson) -> Document {
    let number = doc! { "$add": ["$attempt", 1] };
    let begun = doc! { "number": number.clone(), "worker": { "$literal": worker }, "startedAt": "$$NOW" };
    doc! {
        "state": JobState::Running.as_str(),
        "attempt": number,
        "attempts": { "$slice": [{ "$concatArrays": [before, [begun]] }, -ATTEMPTS_KEPT] },
        "worker": { "$literal": worker },
        "claim": token,
        "leaseUntil": after(lease),
        "dueAt": after(lease),
        "updatedAt": "$$NOW",
    }
}

/// A job of which a claim has said that this worker vanished while it ran it.
pub(crate) fn falsely_crashed(id: JobId, worker: &str) -> Document {
    let crashed = doc! { "worker": worker, "outcome": AttemptOutcome::Crashed.as_str() };
    doc! { "_id": id.to_string(), "attempts": { "$elemMatch": crashed } }
}

pub(crate) fn retract_crash(worker: &str) -> Vec<Document> {
    let its_own = doc! { "$and": [
        { "$eq": ["$$attempt.worker", { "$literal": worker }] },
        { "$eq": ["$$attempt.outcome", AttemptOutcome::Crashed.as_str()] },
    ] };
    let denied = doc! { "$filter": { "input": "$attempts", "as": "attempt", "cond": its_own.clone() } };
    let end = doc! {
        "outcome": AttemptOutcome::Released.as_str(),
        "error": "its worker did not show for so long that another one took over",
        "code": FailureCode::Absent.as_str(),
    };
    vec![doc! { "$set": {
        // Progress may have set the count to zero meanwhile.
        "crashes": { "$max": [0_i64, { "$subtract": ["$crashes", { "$size": denied }] }] },
        "attempts": { "$map": {
            "input": "$attempts",
            "as": "attempt",
            "in": { "$cond": [its_own, { "$mergeObjects": ["$$attempt", end] }, "$$attempt"] },
        } },
        "updatedAt": "$$NOW",
    } }]
}

pub(crate) fn renew(lease: Duration) -> Vec<Document> {
    vec![doc! { "$set": { "leaseUntil": after(lease), "dueAt": after(lease) } }]
}

/// Notes how far an upload has come, and extends the lease. A job that has got further than ever has no crashes behind it.
pub(crate) fn note_progress(position: &UploadPosition, lease: Duration) -> Vec<Document> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let acknowledged = number(position.acknowledged_bytes);
    let furthest = doc! { "$ifNull": ["$upload.furthestBytes", 0_i64] };
    let is_further = doc! { "$gt": [acknowledged, furthest.clone()] };
    vec![doc! { "$set": {
        "upload": {
            "id": { "$literal": &position.upload_id },
            "acknowledgedBytes": acknowledged,
            "chunkSize": number(position.chunk_size),
            "begun": i64::from(position.begun),
            "furthestBytes": { "$max": [acknowledged, furthest] },
            "notedAt": "$$NOW",
        },
        "crashes": { "$cond": [is_further, 0_i64, "$crashes"] },
        "leaseUntil": after(lease),
        "dueAt": after(lease),
    } }]
}

pub(crate) fn queue(check_after: Duration) -> Vec<Document> {
    vec![doc! { "$set": {
        "state": JobState::Queued.as_str(),
        "dueAt": after(check_after),
        "updatedAt": "$$NOW",
    } }]
}

/// Ends an attempt, to be followed by another at a time, a constant or an expression.
pub(crate) fn retry(
    run_at: impl Into<Bson>,
    outcome: AttemptOutcome,
    failed: Option<Failed<'_>>,
    failures: i32,
    group: Option<ErrorGroupId>,
) -> Vec<Document> {
    let run_at = run_at.into();
    let mut update = vec![
        doc! { "$set": {
            "state": JobState::Retryable.as_str(),
            "failures": { "$add": ["$failures", failures] },
            "attempts": close_attempt(outcome, failed),
            "runAt": run_at.clone(),
            "dueAt": run_at,
            "updatedAt": "$$NOW",
        } },
        doc! { "$unset": ["worker", "leaseUntil", "claim"] },
    ];
    update.extend(group.map(in_group));
    update
}

fn in_group(group: ErrorGroupId) -> Document {
    doc! { "$set": { "errorGroup": group.to_string() } }
}

/// Notes what a job has brought about, beside what it brought about before it was redriven. None if that is nothing.
pub(crate) fn bring_about(events: &[EventId], follow_ups: &[JobId]) -> Option<Document> {
    let mut set = Document::new();
    let ids = [
        ("events", "$events", events.iter().map(EventId::to_string).collect::<Vec<_>>()),
        ("followUps", "$followUps", follow_ups.iter().map(JobId::to_string).collect()),
    ];
    for (field, before, ids) in ids {
        if !ids.is_empty() {
            let none: [&str; 0] = [];
            let all = doc! { "$concatArrays": [{ "$ifNull": [before, &none[..]] }, ids] };
            set.insert(field, doc! { "$slice": [all, -BROUGHT_ABOUT_KEPT] });
        }
    }
    (!set.is_empty()).then(|| doc! { "$set": set })
}

pub(crate) fn complete(kept: Duration) -> Vec<Document> {
    finish(JobState::Completed, AttemptOutcome::Completed, None, kept, Document::new())
}

pub(crate) fn cancel(reason: CancelReason, kept: Duration) -> Vec<Document> {
    let more = doc! { "reason": reason.as_str(), "code": reason.code() };
    finish(JobState::Cancelled, AttemptOutcome::Cancelled, None, kept, more)
}

pub(crate) fn discard(discard: &Discard, group: ErrorGroupId) -> Vec<Document> {
    let more = doc! {
        "reason": { "$literal": &discard.reason },
        "code": discard.code.as_str(),
        "errorGroup": group.to_string(),
        "replayable": discard.replayable,
        "failures": { "$add": ["$failures", discard.failures] },
        "crashes": { "$add": ["$crashes", discard.crashes] },
    };
    finish(JobState::Discarded, discard.outcome, Some(discard.failed()), DISCARDED_KEPT, more)
}

/// Jobs that wait for their next attempt and are not due yet.
pub(crate) fn not_due(ids: &[JobId]) -> Document {
    let ids: Vec<String> = ids.iter().map(JobId::to_string).collect();
    let is_early = doc! { "$gt": ["$runAt", "$$NOW"] };
    doc! { "_id": { "$in": ids }, "state": JobState::Retryable.as_str(), "$expr": is_early }
}

/// Makes them due.
pub(crate) fn hurry() -> Vec<Document> {
    vec![doc! { "$set": { "runAt": "$$NOW", "dueAt": "$$NOW", "updatedAt": "$$NOW" } }]
}

/// Redrives a discarded job, as if it were new but for its attempts. `anew`: its upload begins at the first byte.
pub(crate) fn redrive(anew: bool) -> Vec<Document> {
    // What it uploads is by now for the asset to say.
    let mut gone = vec!["reason", "code", "finishedAt", "expireAt", "source"];
    if anew {
        gone.push("upload");
    }
    vec![
        doc! { "$set": {
            "state": JobState::Pending.as_str(),
            "failures": 0,
            "crashes": 0,
            "replayable": false,
            "runAt": "$$NOW",
            "dueAt": "$$NOW",
            "updatedAt": "$$NOW",
        } },
        doc! { "$unset": gone },
    ]
}

fn finish(
    to: JobState,
    outcome: AttemptOutcome,
    failed: Option<Failed<'_>>,
    kept: Duration,
    more: Document,
) -> Vec<Document> {
    let mut set = doc! {
        "state": to.as_str(),
        "attempts": close_attempt(outcome, failed),
        "updatedAt": "$$NOW",
        "finishedAt": "$$NOW",
        "expireAt": after(kept),
    };
    set.extend(more);
    vec![doc! { "$set": set }, doc! { "$unset": ["worker", "leaseUntil", "dueAt", "hold", "claim"] }]
}

/// The attempts, those that have not ended as ended now.
fn close_attempt(outcome: AttemptOutcome, failed: Option<Failed<'_>>) -> Document {
    let mut end = doc! { "endedAt": "$$NOW", "outcome": outcome.as_str() };
    if let Some(Failed { error, code, status }) = failed {
        end.insert("error", doc! { "$literal": error });
        end.insert("code", code);
        end.extend(status.map(|status| ("status".to_owned(), Bson::from(i32::from(status)))));
    }
    let open = doc! { "$eq": [{ "$type": "$$attempt.endedAt" }, "missing"] };
    doc! { "$map": {
        "input": "$attempts",
        "as": "attempt",
        "in": { "$cond": [open, { "$mergeObjects": ["$$attempt", end] }, "$$attempt"] },
    } }
}
