//! What clients see of jobs.

use std::borrow::Cow;

use axum::http::StatusCode;
use messages::{AssetId, JobId, Payload, UploadMedia};
use serde::Serialize;
use store::{Asset, Attempt, AttemptOutcome, JobRecord, JobState, NewUpload};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::failures;
use super::progress::ProgressView;
use super::waits::WaitView;
use crate::http::Answer;
use crate::http::response::iso;
use crate::openapi::schemas;
use crate::routes::media::processing::Processing;
use crate::state::App;

/// Something with the jobs that its request has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WithJobs<T> {
    #[serde(flatten)]
    what: T,
    jobs: Vec<JobLink>,
}

/// Something with the jobs of its uploads, which are about to be accepted or just were. The first job is its location.
pub(crate) fn with_jobs<T: Serialize>(
    app: &App,
    status: StatusCode,
    what: T,
    uploads: &[NewUpload],
    message: &'static str,
) -> Answer<WithJobs<T>> {
    let link = |upload: &NewUpload| JobLink {
        id: upload.job,
        kind: UploadMedia::KIND,
        state: JobState::Pending.as_str(),
        url: app.job_url(upload.job),
        events: app.job_events_url(upload.job),
    };
    let location = uploads.first().map(|upload| app.job_url(upload.job));
    let data = WithJobs { what, jobs: uploads.iter().map(link).collect() };
    Answer::new(status, data, message).located(location)
}

/// A job in passing.
#[derive(Debug, Serialize, ToSchema)]
struct JobLink {
    #[schema(value_type = String, format = Uuid)]
    id: JobId,
    #[schema(example = "media.upload.v1")]
    kind: &'static str,
    #[schema(schema_with = schemas::job_state)]
    state: &'static str,
    /// Where to ask for it.
    #[schema(format = Uri)]
    url: String,
    /// Where to follow it.
    #[schema(format = Uri)]
    events: String,
}

/// A job in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobSummary)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobSummary {
    #[schema(value_type = String, format = Uuid)]
    id: JobId,
    #[schema(example = "media.upload.v1")]
    kind: String,
    #[schema(schema_with = schemas::job_state)]
    state: &'static str,
    /// Why it was discarded or cancelled; null otherwise.
    #[schema(required)]
    reason: Option<String>,
    /// The reason for programs: `refused`, `file-lost`, `too-many-failures`, `too-many-crashes`, `impossible` or `by-operator` if it was discarded,
    /// `by-operator` if whoever runs the system has cancelled it, `superseded` if it was cancelled for something newer, `cancelled` if its owner did that. Null without a reason, and where an earlier release recorded it.
    #[schema(required, example = "refused")]
    code: Option<String>,
    /// The number of the latest attempt, from 1; 0 before the first.
    attempt: u32,
    /// How many attempts failed.
    failures: u32,
    /// At how many failures it is discarded.
    max_attempts: u32,
    // When it is tried next; only while that is in the future.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    run_at: Option<OffsetDateTime>,
    /// How much of the file the media host has; null unless it uploads one.
    #[schema(required)]
    progress: Option<ProgressView>,
    #[serde(serialize_with = "iso::serialize")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "iso::serialize")]
    updated_at: OffsetDateTime,
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    finished_at: Option<OffsetDateTime>,
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{24}$", required)]
    asset: Option<AssetId>,
    links: JobLinks,
}

/// A job as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobView {
    #[serde(flatten)]
    summary: JobSummary,
    /// The latest attempts, oldest first.
    attempts: Vec<AttemptView>,
    /// Why it waits; null if it runs or has ended.
    #[schema(required)]
    waits: Option<WaitView>,
    /// Where the asset stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    processing: Option<Processing>,
}

#[derive(Debug, Serialize, ToSchema)]
struct JobLinks {
    #[serde(rename = "self")]
    #[schema(format = Uri)]
    this: String,
    /// Where to follow it.
    #[schema(format = Uri)]
    events: String,
    #[schema(format = Uri, required)]
    asset: Option<String>,
}

/// One attempt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
#[serde(rename_all = "camelCase")]
struct AttemptView {
    number: u32,
    #[serde(serialize_with = "iso::serialize")]
    started_at: OffsetDateTime,
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    ended_at: Option<OffsetDateTime>,
    #[schema(schema_with = schemas::maybe_outcome, required)]
    outcome: Option<&'static str>,
    /// What it ran into, in words.
    #[schema(value_type = Option<String>, required, example = "the media host answered 503")]
    error: Option<Cow<'static, str>>,
    /// The error for programs: `media-host-rate-limited`, `media-host-busy`, `media-host-failed`, `media-host-unreachable`,
    /// `file-unreadable`, `database`, `attempt-too-long`, `second-look` (of a deletion, which is no failure), `defect`,
    /// `configuration`, `worker-crashed`, `worker-absent`, `user-paused` (which is no failure either), or the job's own code. More may
    /// come. Null if there was none, and where
    /// an earlier release recorded it.
    #[schema(required, example = "media-host-busy")]
    code: Option<String>,
    /// The HTTP status that the media host answered, if that was the error.
    #[schema(required, example = 503)]
    status: Option<u16>,
}

impl JobSummary {
    /// Without the asset, which decides on what its address ends with, and on how much there is to upload, only if the job does
    /// not say.
    pub(super) fn new(app: &App, job: JobRecord, asset: Option<&Asset>) -> Self {
        let media_type = asset.map(|asset| &asset.media_type);
        let media_type = media_type.or_else(|| job.source.as_ref().map(|source| &source.media_type));
        let content_type = media_type.map(|media_type| media_type.content_type.as_str());
        Self {
            links: JobLinks {
                this: app.job_url(job.id),
                events: app.job_events_url(job.id),
                asset: job.asset.map(|asset| app.media_url(asset, content_type)),
            },
            progress: ProgressView::of(&job, asset),
            id: job.id,
            kind: job.kind,
            state: job.state.as_str(),
            reason: job.reason,
            code: job.code,
            attempt: job.attempt,
            failures: job.failures,
            max_attempts: job.max_attempts,
            run_at: (job.state == JobState::Retryable).then_some(job.run_at),
            created_at: job.created_at,
            updated_at: job.updated_at,
            finished_at: job.finished_at,
            asset: job.asset,
        }
    }
}

impl JobView {
    pub(crate) fn new(app: &App, job: JobRecord, asset: Option<&Asset>) -> Self {
        Self {
            attempts: job.attempts.iter().map(AttemptView::new).collect(),
            waits: None,
            processing: asset.map(Processing::of),
            summary: JobSummary::new(app, job, asset),
        }
    }

    /// With why it waits, if it does.
    #[must_use]
    pub(super) fn waiting(self, waits: Option<WaitView>) -> Self {
        Self { waits, ..self }
    }
}

impl AttemptView {
    fn new(attempt: &Attempt) -> Self {
        Self {
            number: attempt.number,
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            outcome: attempt.outcome.map(AttemptOutcome::as_str),
            error: failures::sentence(attempt),
            code: attempt.code.clone(),
            status: attempt.status,
        }
    }
}
