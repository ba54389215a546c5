//! What to do, decided from what is known. Pure, so that every case has a test that needs no broker and no database;
//! `claim` and `record` act.

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
    /// The job may be what makes workers crash, and has one chance left: claim it again when nothing else runs here.
    RunAlone,
    /// Too many workers vanished while they ran the job: discard it, do what is left, and settle.
    Poisoned(Box<JobRecord>),
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
        Claim::LastChance => Next::RunAlone,
        Claim::Poisoned(job) => Next::Poisoned(job),
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
    /// Its time was up although it got on: the next attempt goes on where this one was.
    GoOn,
    Retry(Retry),
    Discard {
        reason: String,
        replayable: bool,
    },
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
        // What an upload left that was given up is no asset that anybody has heard of.
        (JobState::Completed, None) if job.data.get("publicId").is_some() => None,
        (JobState::Completed, None) => Some(Event::MediaDeleted(MediaDeleted { job: job.id, asset: job.asset? })),
        (JobState::Discarded, _) => failed(job, reason?),
        _ => None,
    }
}

/// The news that an upload was given up. A deletion that was is none: nobody waits for it.
fn failed(job: &JobRecord, reason: &str) -> Option<Event> {
    if !job.kind.starts_with("media.upload.") {
        return None;
    }
    let reason = reason.to_owned();
    Some(Event::MediaFailed(MediaFailed { job: job.id, asset: job.asset?, owner: job.owner?, reason }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use messages::{AssetId, UserId};
    use serde_json::json;
    use store::{Attempt, Role};

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const REASON: &str = "because";

    fn attempt(number: u32, outcome: Option<AttemptOutcome>) -> Attempt {
        let worker = "me".to_owned();
        Attempt { number, worker, started_at: NOW, ended_at: None, outcome, error: None }
    }

    /// A job that has failed as listed and runs again.
    fn job(kind: &str, outcomes: &[AttemptOutcome]) -> JobRecord {
        let mut attempts: Vec<Attempt> =
            (1..).zip(outcomes).map(|(number, outcome)| attempt(number, Some(*outcome))).collect();
        let current = u32::try_from(attempts.len()).expect("few") + 1;
        attempts.push(attempt(current, None));
        JobRecord {
            id: JobId::new(),
            kind: kind.to_owned(),
            data: json!({"asset": AssetId::from_bytes([1; 12])}),
            queue: "media.delete".to_owned(),
            owner: Some(UserId::from_bytes([2; 12])),
            asset: Some(AssetId::from_bytes([1; 12])),
            state: JobState::Running,
            attempt: current,
            failures: 0,
            crashes: 0,
            max_attempts: 150,
            run_at: NOW,
            worker: Some("me".to_owned()),
            lease_until: None,
            attempts,
            upload: None,
            reason: None,
            replayable: false,
            traceparent: None,
            request_id: None,
            created_at: NOW,
            updated_at: NOW,
            finished_at: None,
        }
    }

    fn busy(worker: &str) -> Claim {
        Claim::Busy { worker: worker.to_owned(), lease_until: NOW }
    }

    #[test]
    fn a_body_that_cannot_be_understood_is_a_dead_letter_with_the_reason() {
        let Err(Disposition::DeadLetter { reason }) = on_body(b"noise") else { panic!("understood") };
        assert!(reason.starts_with("not an envelope"), "{reason}");
    }

    #[test]
    fn a_claim_decides_what_comes_next() {
        let id = JobId::new();
        let next = |claim, redelivered| on_claim(id, claim, "me", redelivered);
        let claimed = Claimed { job: job("media.delete.v1", &[]), attempt: 1 };
        assert!(matches!(next(Claim::Claimed(claimed), false), Next::Perform(_)));
        assert!(matches!(next(Claim::Finished(JobState::Completed), true), Next::Settle(Disposition::Ack)));
        assert!(matches!(next(Claim::NotDue { run_at: NOW }, true), Next::Settle(Disposition::Ack)));
        assert!(matches!(next(Claim::LastChance, true), Next::RunAlone));
        assert!(matches!(next(Claim::Unknown, false), Next::Settle(Disposition::DeadLetter { .. })));
        assert!(matches!(next(busy("you"), false), Next::Settle(Disposition::Ack)));
        assert!(matches!(next(busy("you"), true), Next::AskForHolder { holder, .. } if holder == "you"));
        for redelivered in [false, true] {
            assert!(matches!(next(busy("me"), redelivered), Next::TakeUp));
        }
    }

    fn retry(error: JobError, job: &JobRecord) -> Retry {
        match on_result(Err(error), job, &RetryPolicy::default(), NOW) {
            Verdict::Retry(retry) => retry,
            verdict => panic!("{verdict:?}"),
        }
    }

    #[test]
    fn a_transient_failure_counts_and_a_servers_hint_is_kept() {
        let cause = || anyhow::anyhow!("inner").context("outer");
        let soon = retry(JobError::Retry { cause: cause(), after: None }, &job("media.upload.v1", &[]));
        assert!(soon.counts && soon.run_at <= NOW + Duration::from_secs(2), "{soon:?}");
        assert_eq!(soon.error, "outer: inner");
        let hour = Duration::from_secs(3600);
        let late = retry(JobError::Retry { cause: cause(), after: Some(hour) }, &job("media.upload.v1", &[]));
        assert!(late.run_at >= NOW + hour, "{late:?}");
    }

    #[test]
    fn operator_errors_in_a_row_are_retried_ever_more_slowly_and_never_count() {
        use AttemptOutcome::{Operator, Retry};
        let error = || JobError::Operator { cause: anyhow::anyhow!("401"), after: None };
        for (outcomes, before) in [
            (&[][..], 0),
            (&[Operator, Retry], 0),
            (&[Retry, Operator], 1),
            (&[Operator, Retry, Operator, Operator, Operator], 3),
        ] {
            let job = job("media.upload.v1", outcomes);
            assert_eq!(operator_errors_before(&job), before, "{outcomes:?}");
            let retry = retry(error(), &job);
            assert!(!retry.counts && retry.run_at >= NOW + Duration::from_secs(15), "{retry:?}");
        }
    }

    #[test]
    fn a_permanent_failure_is_discarded_with_its_reason() {
        let error = JobError::discard(REASON);
        let verdict = on_result(Err(error), &job("media.upload.v1", &[]), &RetryPolicy::default(), NOW);
        assert!(matches!(verdict, Verdict::Discard { reason, replayable: false } if reason == REASON));
    }

    #[test]
    fn outcomes_make_news_for_whoever_waits() {
        let outcome = |state, url: Option<&str>| Outcome {
            state,
            owner: Some(UserId::from_bytes([2; 12])),
            role: Some(Role::Media),
            url: url.map(str::to_owned),
            file: None,
            follow_ups: Vec::new(),
        };
        let (upload, delete) = (job("media.upload.v1", &[]), job("media.delete.v1", &[]));
        let kind = |event: Option<Event>| event.map(|event| event.kind());
        let ready = event(&upload, &outcome(JobState::Completed, Some("https://host/a")), None);
        assert_eq!(kind(ready), Some("media.ready.v1"));
        assert_eq!(kind(event(&delete, &outcome(JobState::Completed, None), None)), Some("media.deleted.v1"));
        let failed = event(&upload, &outcome(JobState::Discarded, None), Some(REASON));
        assert!(matches!(failed, Some(Event::MediaFailed(MediaFailed { reason, .. })) if reason == REASON));
        assert_eq!(kind(event(&delete, &outcome(JobState::Discarded, None), Some(REASON))), None);
        let mut leftovers = job("media.delete.v1", &[]);
        leftovers.data["publicId"] = json!("steep/media/1");
        assert_eq!(kind(event(&leftovers, &outcome(JobState::Completed, None), None)), None);
        assert_eq!(kind(event(&upload, &outcome(JobState::Cancelled, None), None)), None);
    }
}
