//! Why a job waits, and until when.

use messages::Job;
use serde::Serialize;
use store::{AttemptOutcome, Controlled, Counted, FailureCode, JobRecord, JobState, Line};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::failures::cause;
use crate::http::response::iso;
use crate::openapi::schemas;
use crate::state::App;

/// What a job waits for. A sentence, and the same for programs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Wait)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WaitView {
    /// A sentence for people.
    #[schema(example = "waits until 14:03:07 UTC because the media host answered 420")]
    pub(crate) reason: String,
    /// `retry`: for its next attempt. `turn`: for a worker that is free. `worker`: for another worker, because the one that ran it
    /// does not answer. `queue-paused`, `user-paused`: until whoever runs the system resumes all such jobs, or all of yours.
    #[schema(schema_with = schemas::wait_code)]
    pub(crate) code: &'static str,
    /// When the next attempt is due; null unless it waits for that.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) until: Option<OffsetDateTime>,
    /// The code of the failure that it waits after, as in `attempts`; null if there was none, or it is not known.
    #[schema(required, example = "media-host-rate-limited")]
    pub(crate) cause: Option<String>,
    /// What the media host answered, if that was the failure.
    #[schema(required, example = 420)]
    pub(crate) status: Option<u16>,
    /// How many jobs of yours of this kind run; null unless it waits for its turn.
    #[schema(required)]
    pub(crate) running: Option<CountView>,
    /// How many jobs of anybody come before it; null unless it waits for its turn.
    #[schema(required)]
    pub(crate) ahead: Option<CountView>,
}

/// A number that is counted up to a hundred.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = Count)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CountView {
    #[schema(maximum = 100, example = 5)]
    pub(crate) count: u64,
    /// Whether there are more.
    pub(crate) more: bool,
}

/// What there is to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Retry,
    Turn,
    Worker,
}

/// Why a job waits now; none if it does not. `whose`: what the jobs of its owner are to the reader, such as `of yours`.
pub(crate) async fn of(app: &App, job: &JobRecord, whose: &str) -> Result<Option<WaitView>, store::Error> {
    let now = app.store.now().await?;
    let wait = wait(job, now);
    if matches!(wait, Some(Wait::Turn | Wait::Retry))
        && let Some(paused) = paused(app, job, wait).await?
    {
        return Ok(Some(paused));
    }
    Ok(match wait {
        None => None,
        Some(Wait::Retry) => Some(WaitView::retry(job, now)),
        Some(Wait::Turn) => Some(WaitView::turn(&app.store.jobs().line(job).await?, whose)),
        Some(Wait::Worker) => Some(WaitView::worker()),
    })
}

/// That a job waits because somebody has paused its queue or its owner.
async fn paused(app: &App, job: &JobRecord, wait: Option<Wait>) -> Result<Option<WaitView>, store::Error> {
    let queue = Job::QUEUES.iter().find(|(_, queue)| queue.has(&job.queue)).map(|(_, queue)| queue.name);
    // What waits for its next attempt does so whether or not its queue is paused.
    let queue = queue.filter(|_| wait == Some(Wait::Turn)).map(|name| Controlled::Queue(name.to_owned()));
    let owner = job.owner.filter(|_| wait == Some(Wait::Turn) || is_held(job)).map(Controlled::User);
    let what: Vec<Controlled> = owner.into_iter().chain(queue).collect();
    if what.is_empty() {
        return Ok(None);
    }
    let holds = app.store.controls().among(&what).await?;
    // That of the user is the one that they can ask about.
    let first = what.iter().find(|what| holds.iter().any(|control| control.what == **what));
    Ok(first.map(WaitView::paused))
}

/// Whether a job waits because its owner was paused when it was claimed.
fn is_held(job: &JobRecord) -> bool {
    job.attempts.last().is_some_and(|last| last.code.as_deref() == Some(FailureCode::UserPaused.as_str()))
}

fn wait(job: &JobRecord, now: OffsetDateTime) -> Option<Wait> {
    match job.state {
        JobState::Pending | JobState::Queued => Some(Wait::Turn),
        JobState::Retryable if job.run_at > now => Some(Wait::Retry),
        // Due: it is published in a moment, and waits as any other.
        JobState::Retryable => Some(Wait::Turn),
        JobState::Running if job.lease_until.is_some_and(|until| until < now) => Some(Wait::Worker),
        JobState::Running | JobState::Completed | JobState::Discarded | JobState::Cancelled => None,
    }
}

impl WaitView {
    fn new(code: &'static str, reason: String) -> Self {
        Self { reason, code, until: None, cause: None, status: None, running: None, ahead: None }
    }

    fn retry(job: &JobRecord, now: OffsetDateTime) -> Self {
        // One that was released has failed in nothing.
        let failed = job.attempts.last().filter(|attempt| attempt.outcome != Some(AttemptOutcome::Released));
        let because = job.attempts.last().map_or_else(|| "an attempt failed".into(), cause);
        let reason = format!("waits until {} because {because}", time(job.run_at, now));
        Self {
            until: Some(job.run_at),
            cause: failed.and_then(|attempt| attempt.code.clone()),
            status: failed.and_then(|attempt| attempt.status),
            ..Self::new("retry", reason)
        }
    }

    fn turn(Line { running, ahead }: &Line, whose: &str) -> Self {
        let runs = match *running {
            Counted { count: 0, .. } => format!("no job {whose} runs"),
            Counted { count: 1, more: false } => format!("1 job {whose} runs"),
            Counted { count, more } => format!("{}{count} jobs {whose} run", more_than(more)),
        };
        let comes = match *ahead {
            Counted { count: 0, .. } => "none is ahead of it".to_owned(),
            Counted { count: 1, more: false } => "1 is ahead of it".to_owned(),
            Counted { count, more } => format!("{}{count} are ahead of it", more_than(more)),
        };
        let [running, ahead] = [running, ahead].map(|Counted { count, more }| CountView { count: *count, more: *more });
        Self { running: Some(running), ahead: Some(ahead), ..Self::new("turn", format!("{runs}, {comes}")) }
    }

    fn paused(what: &Controlled) -> Self {
        match what {
            Controlled::User(_) => Self::new("user-paused", "waits because your jobs are paused".to_owned()),
            _ => Self::new("queue-paused", "waits because all jobs of its kind are paused".to_owned()),
        }
    }

    fn worker() -> Self {
        Self::new("worker", "waits for another worker because the one that ran it does not answer".to_owned())
    }
}

const fn more_than(more: bool) -> &'static str {
    if more { "more than " } else { "" }
}

/// A time of day, with the day if it is another one.
fn time(at: OffsetDateTime, now: OffsetDateTime) -> String {
    let (hour, minute, second) = at.to_hms();
    let time = format!("{hour:02}:{minute:02}:{second:02} UTC");
    if at.date() == now.date() { time } else { format!("{} {time}", at.date()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use messages::{JobId, UserId};
    use serde_json::json;
    use store::Attempt;

    use super::*;

    /// The middle of a day.
    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-30 14:02:30 UTC);

    fn attempt(outcome: AttemptOutcome, code: Option<&str>, status: Option<u16>) -> Attempt {
        Attempt {
            number: 1,
            worker: "host-1-secret".to_owned(),
            started_at: NOW,
            ended_at: Some(NOW),
            outcome: Some(outcome),
            error: Some("https://internal.example.com/ refused us".to_owned()),
            code: code.map(str::to_owned),
            status,
        }
    }

    fn job(state: JobState, run_at: OffsetDateTime, attempts: Vec<Attempt>) -> JobRecord {
        JobRecord {
            id: JobId::new(),
            kind: "media.upload.v1".to_owned(),
            data: json!({}),
            queue: "media.upload.here".to_owned(),
            owner: Some(UserId::from_bytes([1; 12])),
            asset: None,
            channel: None,
            source: None,
            unique_key: None,
            state,
            attempt: 1,
            failures: 0,
            crashes: 0,
            max_attempts: 150,
            run_at,
            due_at: None,
            worker: None,
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

    #[test]
    fn a_job_that_failed_waits_for_a_time_because_of_its_last_failure() {
        use AttemptOutcome::{Operator, Released, Retry};
        for (outcome, code, status, because) in [
            (Retry, Some("media-host-rate-limited"), Some(420), "the media host answered 420"),
            (Retry, Some("media-host-busy"), Some(503), "the media host answered 503"),
            (Retry, Some("media-host-unreachable"), None, "the media host did not answer"),
            (Retry, Some("media-host-failed"), None, "the media host's answer could not be used"),
            (Retry, Some("file-unreadable"), None, "the uploaded file could not be read"),
            (Retry, Some("database"), None, "the database did not do its part"),
            (Retry, Some("attempt-too-long"), None, "the attempt took too long"),
            (Retry, Some("defect"), None, "the worker met a defect of ours"),
            (Operator, Some("configuration"), None, "our configuration is wrong, and has to be mended by us"),
            // Of a later version.
            (Retry, Some("solar-flare"), None, "an attempt failed"),
            // Of an earlier version.
            (Retry, None, None, "an attempt failed"),
            (Operator, None, None, "our account at the media host was refused, which has to be mended by us"),
            (Released, None, None, "its worker left it to another one"),
        ] {
            let run_at = NOW + Duration::from_secs(37);
            let job = job(JobState::Retryable, run_at, vec![attempt(outcome, code, status)]);
            assert_eq!(wait(&job, NOW), Some(Wait::Retry));
            let waits = WaitView::retry(&job, NOW);
            assert_eq!(waits.reason, format!("waits until 14:03:07 UTC because {because}"));
            assert_eq!((waits.code, waits.until), ("retry", Some(run_at)));
            assert_eq!((waits.cause.as_deref(), waits.status), (code, status), "{because}");
            assert!(waits.running.is_none() && waits.ahead.is_none());
        }
    }

    #[test]
    fn a_time_of_another_day_is_told_with_the_day() {
        let busy = attempt(AttemptOutcome::Retry, Some("media-host-busy"), Some(503));
        let job = job(JobState::Retryable, NOW + Duration::from_secs(12 * 60 * 60), vec![busy]);
        let waits = WaitView::retry(&job, NOW);
        assert_eq!(waits.reason, "waits until 2026-12-01 02:02:30 UTC because the media host answered 503");
    }

    #[test]
    fn a_job_that_waits_for_its_turn_is_told_what_is_before_it() {
        let counted = |count, more| Counted { count, more };
        for (running, ahead, expected) in [
            (counted(3, false), counted(5, false), "3 jobs of yours run, 5 are ahead of it"),
            (counted(1, false), counted(1, false), "1 job of yours runs, 1 is ahead of it"),
            (counted(0, false), counted(0, false), "no job of yours runs, none is ahead of it"),
            (counted(100, true), counted(100, true), "more than 100 jobs of yours run, more than 100 are ahead of it"),
        ] {
            let waits = WaitView::turn(&Line { running, ahead }, "of yours");
            assert_eq!((waits.reason.as_str(), waits.code, waits.until), (expected, "turn", None));
            let told = |count: Option<CountView>| count.map(|told| counted(told.count, told.more));
            assert_eq!((told(waits.running), told(waits.ahead)), (Some(running), Some(ahead)));
        }
    }

    #[test]
    fn a_job_that_somebody_has_paused_says_so_and_until_nobody_knows_when() {
        let user = WaitView::paused(&Controlled::User(UserId::from_bytes([1; 12])));
        assert_eq!((user.code, user.reason.as_str()), ("user-paused", "waits because your jobs are paused"));
        let queue = WaitView::paused(&Controlled::Queue("media.upload".to_owned()));
        assert_eq!((queue.code, queue.until), ("queue-paused", None));
        let held = attempt(AttemptOutcome::Released, Some("user-paused"), None);
        assert!(is_held(&job(JobState::Retryable, NOW, vec![held.clone()])));
        let failed = attempt(AttemptOutcome::Retry, Some("media-host-busy"), None);
        assert!(!is_held(&job(JobState::Retryable, NOW, vec![held, failed])));
    }

    #[test]
    fn what_a_job_waits_for_follows_from_its_state_and_the_time() {
        let later = NOW + Duration::from_secs(1);
        for (state, run_at, expected) in [
            (JobState::Pending, NOW, Some(Wait::Turn)),
            (JobState::Queued, NOW, Some(Wait::Turn)),
            (JobState::Retryable, later, Some(Wait::Retry)),
            (JobState::Retryable, NOW, Some(Wait::Turn)),
            (JobState::Running, NOW, None),
            (JobState::Completed, NOW, None),
            (JobState::Discarded, NOW, None),
            (JobState::Cancelled, NOW, None),
        ] {
            assert_eq!(wait(&job(state, run_at, Vec::new()), NOW), expected, "{state}");
        }
        let held = |until| JobRecord { lease_until: Some(until), ..job(JobState::Running, NOW, Vec::new()) };
        assert_eq!(wait(&held(later), NOW), None);
        assert_eq!(wait(&held(NOW), later), Some(Wait::Worker));
    }
}
