//! What clients see of users, jobs and assets. Fields are named as in the original where it has them.

mod channels;

pub(crate) use channels::{ChannelView, SubscriptionView, UserInListView};

use messages::{AssetId, JobId, UserId};
use serde::{Serialize, Serializer};
use store::{Asset, AssetState, Attempt, AttemptOutcome, Image, JobRecord, JobState, NewUpload, User};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use utoipa::ToSchema;

use crate::App;
use crate::openapi::schemas;

/// Times as JavaScript writes them: UTC, with milliseconds.
const TIME: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

#[allow(clippy::ref_option, reason = "serde passes a reference to the field")]
fn maybe_iso<S: Serializer>(time: &Option<OffsetDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => iso(time, serializer),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn iso<S: Serializer>(time: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    let utc = time.to_offset(time::UtcOffset::UTC);
    serializer.serialize_str(&utc.format(TIME).map_err(serde::ser::Error::custom)?)
}

/// A user. Never holds a password or a token, because [`User`] does not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserView {
    #[serde(rename = "_id")]
    #[schema(schema_with = schemas::object_id)]
    id: UserId,
    #[schema(example = "ada")]
    username: String,
    #[schema(example = "ada@example.com")]
    email: String,
    #[schema(example = "Ada Lovelace")]
    full_name: String,
    /// An address that works, or nothing.
    avatar: String,
    /// An address that works, or nothing.
    cover_image: String,
    /// Ids of videos.
    watch_history: Vec<String>,
    #[serde(serialize_with = "iso")]
    #[schema(schema_with = schemas::time)]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "iso")]
    #[schema(schema_with = schemas::time)]
    updated_at: OffsetDateTime,
}

impl UserView {
    pub(crate) fn new(app: &App, user: User) -> Self {
        Self {
            id: user.id,
            avatar: image_url(app, user.avatar),
            cover_image: image_url(app, user.cover_image),
            username: user.username,
            email: user.email,
            full_name: user.full_name,
            watch_history: user.watch_history,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// The upload that is on its way if there is one, because it can be seen at once; else what is ready, else `""`.
fn image_url(app: &App, image: Image) -> String {
    match image.pending {
        Some(asset) => app.media_url(asset),
        None => image.url,
    }
}

/// Something with the jobs that its request has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WithJobs<T> {
    #[serde(flatten)]
    what: T,
    jobs: Vec<JobLink>,
}

impl<T> WithJobs<T> {
    pub(crate) fn new(what: T, jobs: Vec<JobLink>) -> Self {
        Self { what, jobs }
    }

    /// Where to follow the work, for the `Location` header: the first job.
    pub(crate) fn location(&self) -> Option<String> {
        self.jobs.first().map(|job| job.url.clone())
    }
}

/// A job in passing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobLink {
    #[schema(schema_with = schemas::job_id)]
    id: JobId,
    #[schema(example = "media.upload.v1")]
    kind: String,
    #[schema(schema_with = schemas::job_state)]
    state: &'static str,
    /// Where to ask for it.
    #[schema(format = Uri)]
    url: String,
}

impl JobLink {
    /// The job of an upload that is about to be accepted.
    pub(crate) fn of_upload(app: &App, upload: &NewUpload) -> Self {
        let job = messages::UploadMedia { asset: upload.asset, spool: upload.spool.clone() };
        let kind = messages::Job::UploadMedia(job).kind().to_owned();
        Self { id: upload.job, kind, state: JobState::Pending.as_str(), url: app.job_url(upload.job) }
    }
}

/// A job as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobView {
    #[schema(schema_with = schemas::job_id)]
    id: JobId,
    #[schema(example = "media.upload.v1")]
    kind: String,
    #[schema(schema_with = schemas::job_state)]
    state: &'static str,
    /// Why it was given up; null otherwise.
    #[schema(required)]
    reason: Option<String>,
    /// The number of the latest attempt, from 1; 0 before the first.
    attempt: u32,
    /// How many attempts failed.
    failures: u32,
    /// At how many failures it is given up.
    max_attempts: u32,
    /// The latest attempts, oldest first.
    attempts: Vec<AttemptView>,
    /// When it is tried next; only while that is in the future.
    #[serde(serialize_with = "maybe_iso")]
    #[schema(schema_with = schemas::maybe_time, required)]
    run_at: Option<OffsetDateTime>,
    #[serde(serialize_with = "iso")]
    #[schema(schema_with = schemas::time)]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "iso")]
    #[schema(schema_with = schemas::time)]
    updated_at: OffsetDateTime,
    #[serde(serialize_with = "maybe_iso")]
    #[schema(schema_with = schemas::maybe_time, required)]
    finished_at: Option<OffsetDateTime>,
    #[schema(schema_with = schemas::maybe_object_id, required)]
    asset: Option<AssetId>,
    links: JobLinks,
}

#[derive(Debug, Serialize, ToSchema)]
struct JobLinks {
    #[serde(rename = "self")]
    #[schema(format = Uri)]
    this: String,
    #[schema(format = Uri, required)]
    asset: Option<String>,
}

/// One attempt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
#[serde(rename_all = "camelCase")]
struct AttemptView {
    number: u32,
    #[serde(serialize_with = "iso")]
    #[schema(schema_with = schemas::time)]
    started_at: OffsetDateTime,
    #[serde(serialize_with = "maybe_iso")]
    #[schema(schema_with = schemas::maybe_time, required)]
    ended_at: Option<OffsetDateTime>,
    #[schema(schema_with = schemas::maybe_outcome, required)]
    outcome: Option<&'static str>,
    /// What it ran into, in words.
    #[schema(required)]
    error: Option<&'static str>,
}

impl JobView {
    pub(crate) fn new(app: &App, job: JobRecord) -> Self {
        Self {
            links: JobLinks { this: app.job_url(job.id), asset: job.asset.map(|asset| app.media_url(asset)) },
            id: job.id,
            kind: job.kind,
            state: job.state.as_str(),
            reason: job.reason,
            attempt: job.attempt,
            failures: job.failures,
            max_attempts: job.max_attempts,
            attempts: job.attempts.iter().map(AttemptView::new).collect(),
            run_at: (job.state == JobState::Retryable).then_some(job.run_at),
            created_at: job.created_at,
            updated_at: job.updated_at,
            finished_at: job.finished_at,
            asset: job.asset,
        }
    }
}

impl AttemptView {
    fn new(attempt: &Attempt) -> Self {
        Self {
            number: attempt.number,
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            outcome: attempt.outcome.map(AttemptOutcome::as_str),
            error: attempt.outcome.and_then(in_public),
        }
    }
}

/// What an attempt ran into, without the addresses and internals that the stored text may hold.
const fn in_public(outcome: AttemptOutcome) -> Option<&'static str> {
    match outcome {
        AttemptOutcome::Completed => None,
        AttemptOutcome::Retry => Some("the media host could not take it at the time; it is tried again"),
        AttemptOutcome::Operator => {
            Some("our account at the media host refused it; it is tried again when that is mended")
        }
        AttemptOutcome::Discarded => Some("it was refused for good; see reason"),
        AttemptOutcome::Crashed => Some("the worker stopped in the middle; another one takes over"),
        AttemptOutcome::Cancelled => Some("something newer took its place"),
        AttemptOutcome::Released => Some("the worker was shut down; another one takes over"),
    }
}

/// An uploaded file as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Asset)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssetView {
    #[serde(rename = "_id")]
    #[schema(schema_with = schemas::object_id)]
    id: AssetId,
    #[schema(schema_with = schemas::asset_state)]
    state: &'static str,
    /// An address that works; nothing once it has failed.
    url: String,
    #[schema(schema_with = schemas::resource_type)]
    resource_type: &'static str,
    #[schema(example = "image/jpeg")]
    content_type: String,
    bytes: u64,
    /// What the client called it, without what does harm where it is shown.
    #[schema(max_length = 255)]
    original_name: String,
    /// Pixels, once the media host has told them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    width: Option<u32>,
    /// Pixels, once the media host has told them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    height: Option<u32>,
    /// Seconds, of a video, once the media host has told them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    duration: Option<f64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    job: JobLinkOfAsset,
    #[serde(serialize_with = "iso")]
    #[schema(schema_with = schemas::time)]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "iso")]
    #[schema(schema_with = schemas::time)]
    updated_at: OffsetDateTime,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AssetJob)]
struct JobLinkOfAsset {
    #[schema(schema_with = schemas::job_id)]
    id: JobId,
    #[schema(format = Uri)]
    url: String,
}

impl AssetView {
    pub(crate) fn new(app: &App, asset: Asset) -> Self {
        let stored = asset.stored.as_ref();
        Self {
            id: asset.id,
            state: asset.state.as_str(),
            url: match (asset.state, stored) {
                (AssetState::Ready, Some(stored)) => stored.url.clone(),
                (AssetState::Pending, _) => app.media_url(asset.id),
                _ => String::new(),
            },
            resource_type: asset.media_type.resource_type.as_str(),
            width: stored.and_then(|stored| stored.width),
            height: stored.and_then(|stored| stored.height),
            duration: stored.and_then(|stored| stored.duration),
            content_type: asset.media_type.content_type,
            bytes: asset.bytes,
            original_name: asset.original_name,
            reason: asset.reason,
            job: JobLinkOfAsset { id: asset.job, url: app.job_url(asset.job) },
            created_at: asset.created_at,
            updated_at: asset.updated_at,
        }
    }

    /// An upload that is about to be accepted.
    pub(crate) fn of_upload(app: &App, upload: &NewUpload) -> Self {
        let now = OffsetDateTime::now_utc();
        Self {
            id: upload.asset,
            state: AssetState::Pending.as_str(),
            url: app.media_url(upload.asset),
            resource_type: upload.media_type.resource_type.as_str(),
            content_type: upload.media_type.content_type.clone(),
            bytes: upload.bytes,
            original_name: upload.original_name.clone(),
            width: None,
            height: None,
            duration: None,
            reason: None,
            job: JobLinkOfAsset { id: upload.job, url: app.job_url(upload.job) },
            created_at: now,
            updated_at: now,
        }
    }
}
