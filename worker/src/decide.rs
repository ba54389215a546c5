//! What to do, decided from what is known. Pure, so that every case has a test that needs no broker and no database;
//! `process` acts.

use broker::Disposition;
use messages::{DecodeError, Envelope, Event, JobId, MediaDeleted, MediaFailed, MediaReady};
use store::{AttemptOutcome, Claim, Claimed, JobRecord, JobState, Outcome, Retry};
use time::OffsetDateTime;

use crate::RetryPolicy;
use crate::error::{JobError, JobResult};
use crate::jobs::Done;

/// What follows from a claim's answer.
#[derive(Debug)]
pub(crate) enum Next {
    /// We hold the job: perform it.
    Perform(Claimed),
    /// Our name stands on the job, but this process does not run it: an earlier claim of ours was made although its answer was
    /// lost. Take it up.
    TakeUp,
    /// Another worker's name stands on the job, and the broker delivered its message again: ask whether that worker is gone.
    AskForHolder {
        /// Its name.
        holder: String,
        /// Until when it holds the job.
        lease_until: OffsetDateTime,
    },
    /// The job has just been discarded as the likely cause of crashes: tell the world, and settle.
    Poisoned(JobRecord),
    /// Settle the delivery; there is nothing to do for it.
    Settle(Disposition),
}

/// A body that cannot be understood goes to a person at once. Retrying cannot help.
pub(crate) fn on_body(body: &[u8]) -> Result<Envelope, Disposition> {
    Envelope::decode(body).map_err(|cause: DecodeError| Disposition::DeadLetter { reason: cause.to_string() })
}

/// `redelivered`: the broker has delivered this very message before, so whoever had it is cut off from the broker, or dead.
pub(crate) fn on_claim(job: JobId, claim: Claim, worker: &str, redelivered: bool) -> Next {
    match claim {
        Claim::Claimed(claimed) => Next::Perform(claimed),
        Claim::Poisoned(record) => Next::Poisoned(record),
        Claim::Busy { worker: holder, .. } if holder == worker => Next::TakeUp,
        Claim::Busy { worker: holder, lease_until } if redelivered => Next::AskForHolder { holder, lease_until },
        // A second message for a job that is running. If its worker dies, that one's own message or the lease brings it back.
        Claim::Busy { .. } => Next::Settle(Disposition::Ack),
        // The relay publishes it again when it is due.
        Claim::NotDue { .. } => Next::Settle(Disposition::Ack),
        // Whatever the finished attempt left over, such as a file, is the sweeper's.
        Claim::Finished(_) => Next::Settle(Disposition::Ack),
        // Jobs are published after they are durable, so this one is from another system or was deleted by hand.
        Claim::Unknown => Next::Settle(Disposition::DeadLetter { reason: format!("there is no job {job}") }),
    }
}

/// What to record about an attempt.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    Done(Done),
    Retry(Retry),
    Discard { reason: String, replayable: bool },
}

/// What becomes of a job after an attempt.
pub(crate) fn on_result(
    result: JobResult<Done>,
    job: &JobRecord,
    policy: &RetryPolicy,
    now: OffsetDateTime,
) -> Verdict {
    let (cause, delay, counts) = match result {
        Ok(done) => return Verdict::Done(done),
        Err(JobError::Discard { reason, replayable }) => return Verdict::Discard { reason, replayable },
        Err(JobError::Retry { cause, after }) => (cause, policy.after_failure(job.failures, after), true),
        Err(JobError::Operator { cause, after }) => {
            (cause, policy.after_operator_error(operator_errors_before(job), after), false)
        }
    };
    Verdict::Retry(Retry { run_at: now + delay, error: format!("{cause:#}"), counts })
}

/// How many of the latest attempts, the current one left out, met an operator error in a row.
fn operator_errors_before(job: &JobRecord) -> u32 {
    let ended = job.attempts.iter().rev().skip_while(|attempt| attempt.number == job.attempt);
    let in_a_row = ended.take_while(|attempt| attempt.outcome == Some(AttemptOutcome::Operator)).count();
    u32::try_from(in_a_row).unwrap_or(u32::MAX)
}

/// The news that an outcome makes, if it makes any.
pub(crate) fn event(job: &JobRecord, outcome: &Outcome, reason: Option<&str>) -> Option<Event> {
    match (outcome.state, &outcome.url) {
        (JobState::Completed, Some(url)) => {
            let url = url.clone();
            Some(Event::MediaReady(MediaReady { job: job.id, asset: job.asset?, owner: outcome.owner?, url }))
        }
        (JobState::Completed, None) => Some(Event::MediaDeleted(MediaDeleted { job: job.id, asset: job.asset? })),
        (JobState::Discarded, _) => failed(job, reason?),
        _ => None,
    }
}

/// The news that an upload was given up. A deletion that was is none: nobody waits for it.
pub(crate) fn failed(job: &JobRecord, reason: &str) -> Option<Event> {
    if !job.kind.starts_with("media.upload.") {
        return None;
    }
    let reason = reason.to_owned();
    Some(Event::MediaFailed(MediaFailed { job: job.id, asset: job.asset?, owner: job.owner?, reason }))
}
