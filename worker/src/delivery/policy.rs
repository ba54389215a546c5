//! What becomes of a job after an attempt. Pure, so that every case has a test that needs no broker and no database.

use std::sync::Arc;

use store::{AttemptOutcome, DiscardCode, FailureCode, JobRecord, Retry};

use crate::RetryPolicy;
use crate::error::JobError;
use crate::jobs::Performed;

/// What to record about an attempt.
pub(super) enum Verdict {
    /// The work is done; its handler knows what that means.
    Done(Arc<dyn Performed>),
    Retry(Retry),
    /// It can never succeed.
    Discard {
        code: DiscardCode,
        reason: String,
        replayable: bool,
    },
    /// Its time was up although it got on: the next attempt goes on where this one was.
    GoOn,
    /// The worker shuts down, and leaves the job to another one.
    Stopped,
    /// The job's owner is paused: nothing was done.
    Paused,
    /// Another attempt holds the job, or has ended it.
    Overtaken,
}

pub(super) fn on_error(error: JobError, job: &JobRecord, policy: &RetryPolicy) -> Verdict {
    let (code, cause, after, counts) = match error {
        JobError::Discard { code, reason, replayable } => return Verdict::Discard { code, reason, replayable },
        JobError::Retry { code, cause, after } => (code, cause, policy.after_failure(job.failures, after), true),
        JobError::Later { code, cause, after } => (code, cause, policy.after_failure(0, Some(after)), false),
        JobError::Operator { cause, after } => {
            let after = policy.after_operator_error(operator_errors_before(job), after);
            (FailureCode::Configuration, cause, after, false)
        }
    };
    Verdict::Retry(Retry { after, error: format!("{cause:#}"), code, counts })
}

/// How many of the latest attempts, the current one left out, met an operator error in a row.
fn operator_errors_before(job: &JobRecord) -> u32 {
    let ended = job.attempts.iter().rev().skip_while(|attempt| attempt.number == job.attempt);
    let in_a_row = ended.take_while(|attempt| attempt.outcome == Some(AttemptOutcome::Operator)).count();
    u32::try_from(in_a_row).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use messages::{AssetId, JobId, UserId};
    use serde_json::json;
    use store::{Attempt, JobState};
    use time::OffsetDateTime;

    use super::*;
    use crate::Settings;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const REASON: &str = "because";

    fn attempt(number: u32, outcome: Option<AttemptOutcome>) -> Attempt {
        let worker = "me".to_owned();
        Attempt { number, worker, started_at: NOW, ended_at: None, outcome, error: None, code: None, status: None }
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
            channel: None,
            source: None,
            unique_key: None,
            state: JobState::Running,
            attempt: current,
            failures: 0,
            crashes: 0,
            max_attempts: 150,
            run_at: NOW,
            due_at: None,
            worker: Some("me".to_owned()),
            lease_until: None,
            attempts,
            upload: None,
            reason: None,
            code: None,
            replayable: false,
            traceparent: None,
            tracestate: None,
            request_id: None,
            created_at: NOW,
            updated_at: NOW,
            finished_at: None,
            error_group: None,
            events: Vec::new(),
            follow_ups: Vec::new(),
        }
    }

    fn retry(error: JobError, job: &JobRecord) -> Retry {
        let Verdict::Retry(retry) = on_error(error, job, &Settings::default().retry) else { panic!("no retry") };
        retry
    }

    #[test]
    fn what_was_not_tried_counts_nothing_and_is_tried_a_little_later() {
        let (code, after) = (FailureCode::Undelivered, Duration::from_secs(10));
        let cause = anyhow::anyhow!("busy");
        let later = retry(JobError::Later { code, cause, after }, &job("webhook.deliver.v1", &[]));
        assert!(!later.counts && later.after >= after && later.after <= 2 * after, "{later:?}");
    }

    #[test]
    fn a_transient_failure_counts_and_a_servers_hint_is_kept() {
        let cause = || anyhow::anyhow!("inner").context("outer");
        let failed = |after| JobError::Retry { code: FailureCode::Answered(420), cause: cause(), after };
        let soon = retry(failed(None), &job("media.upload.v1", &[]));
        assert!(soon.counts && soon.after <= Duration::from_secs(2), "{soon:?}");
        assert_eq!((soon.error.as_str(), soon.code), ("outer: inner", FailureCode::Answered(420)));
        let hour = Duration::from_secs(3600);
        let late = retry(failed(Some(hour)), &job("media.upload.v1", &[]));
        assert!(late.after >= hour, "{late:?}");
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
            assert!(!retry.counts && retry.after >= Duration::from_secs(15), "{retry:?}");
            assert_eq!(retry.code, FailureCode::Configuration);
        }
    }

    #[test]
    fn a_permanent_failure_is_discarded_with_its_reason() {
        let error = JobError::discard(DiscardCode::FileLost, REASON);
        let verdict = on_error(error, &job("media.upload.v1", &[]), &Settings::default().retry);
        let Verdict::Discard { code, reason, replayable } = verdict else { panic!("not discarded") };
        assert_eq!((code, reason.as_str(), replayable), (DiscardCode::FileLost, REASON, false));
    }
}
