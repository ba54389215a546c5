//! What programs read of a job: with the names of the API's answers to admins.

use messages::{AssetId, EventId, JobId, UserId};
use serde::{Serialize, Serializer};
use store::{Attempt, AttemptOutcome, ErrorGroupId, JobRecord, JobState};
use time::OffsetDateTime;

use crate::commands::print;

/// A job in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobView<'a> {
    id: JobId,
    kind: &'a str,
    queue: &'a str,
    state: &'static str,
    owner: Option<UserId>,
    asset: Option<AssetId>,
    pub(super) reason: Option<&'a str>,
    code: Option<&'a str>,
    replayable: bool,
    attempt: u32,
    failures: u32,
    max_attempts: u32,
    crashes: u32,
    /// Which made the latest attempt.
    pub(super) worker: Option<&'a str>,
    /// What that ran into.
    pub(super) error: Option<&'a str>,
    error_group: Option<ErrorGroupId>,
    #[serde(serialize_with = "maybe")]
    run_at: Option<OffsetDateTime>,
    #[serde(serialize_with = "time")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "time")]
    updated_at: OffsetDateTime,
    #[serde(serialize_with = "maybe")]
    finished_at: Option<OffsetDateTime>,
}

/// Everything of a job.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobDetailView<'a> {
    #[serde(flatten)]
    job: JobView<'a>,
    data: &'a serde_json::Value,
    attempts: Vec<AttemptView<'a>>,
    traceparent: Option<&'a str>,
    request_id: Option<&'a str>,
    events: &'a [EventId],
    follow_ups: &'a [JobId],
    same_asset: Vec<JobId>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptView<'a> {
    number: u32,
    worker: &'a str,
    #[serde(serialize_with = "time")]
    started_at: OffsetDateTime,
    #[serde(serialize_with = "maybe")]
    ended_at: Option<OffsetDateTime>,
    outcome: Option<&'static str>,
    error: Option<&'a str>,
    code: Option<&'a str>,
    status: Option<u16>,
}

impl<'a> JobView<'a> {
    pub(super) fn new(job: &'a JobRecord) -> Self {
        let latest = job.attempts.last();
        Self {
            id: job.id,
            kind: &job.kind,
            queue: &job.queue,
            state: job.state.as_str(),
            owner: job.owner,
            asset: job.asset,
            reason: job.reason.as_deref(),
            code: job.code.as_deref(),
            replayable: job.replayable,
            attempt: job.attempt,
            failures: job.failures,
            max_attempts: job.max_attempts,
            crashes: job.crashes,
            worker: latest.map(|attempt| attempt.worker.as_str()),
            error: latest.and_then(|attempt| attempt.error.as_deref()),
            error_group: job.error_group,
            run_at: (job.state == JobState::Retryable).then_some(job.run_at),
            created_at: job.created_at,
            updated_at: job.updated_at,
            finished_at: job.finished_at,
        }
    }
}

impl<'a> JobDetailView<'a> {
    pub(super) fn new(job: &'a JobRecord, same_asset: Vec<JobId>) -> Self {
        Self {
            data: &job.data,
            attempts: job.attempts.iter().map(AttemptView::new).collect(),
            traceparent: job.traceparent.as_deref(),
            request_id: job.request_id.as_deref(),
            events: &job.events,
            follow_ups: &job.follow_ups,
            same_asset,
            job: JobView::new(job),
        }
    }
}

impl<'a> AttemptView<'a> {
    fn new(attempt: &'a Attempt) -> Self {
        Self {
            number: attempt.number,
            worker: &attempt.worker,
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            outcome: attempt.outcome.map(AttemptOutcome::as_str),
            error: attempt.error.as_deref(),
            code: attempt.code.as_deref(),
            status: attempt.status,
        }
    }
}

fn time<S: Serializer>(at: &OffsetDateTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&print::time(*at))
}

#[allow(clippy::ref_option, reason = "the signature that serde asks for")]
fn maybe<S: Serializer>(at: &Option<OffsetDateTime>, to: S) -> Result<S::Ok, S::Error> {
    at.map(print::time).serialize(to)
}
