//! What clients see of users, jobs and assets. Fields are named as in the original where it has them.

use messages::{AssetId, JobId, UserId};
use serde::{Serialize, Serializer};
use store::{
    Asset, AssetState, Attempt, AttemptOutcome, Channel, Image, JobRecord, JobState, NewUpload, Subscription, User,
};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::App;

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
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserView {
    #[serde(rename = "_id")]
    id: UserId,
    username: String,
    email: String,
    full_name: String,
    avatar: String,
    cover_image: String,
    watch_history: Vec<String>,
    #[serde(serialize_with = "iso")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "iso")]
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

/// A channel as one of its readers sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChannelView {
    #[serde(rename = "_id")]
    id: UserId,
    full_name: String,
    username: String,
    email: String,
    avatar: String,
    cover_image: String,
    subscribers_count: i64,
    channels_subscribed_to_count: i64,
    is_subscribed: bool,
}

impl ChannelView {
    pub(crate) fn new(app: &App, channel: Channel) -> Self {
        let Channel { user, counts, is_subscribed } = channel;
        Self {
            id: user.id,
            full_name: user.full_name,
            username: user.username,
            email: user.email,
            avatar: image_url(app, user.avatar),
            cover_image: image_url(app, user.cover_image),
            subscribers_count: counts.subscribers_count,
            channels_subscribed_to_count: counts.channels_subscribed_to_count,
            is_subscribed,
        }
    }
}

/// A user in passing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserInListView {
    #[serde(rename = "_id")]
    id: UserId,
    username: String,
    full_name: String,
    avatar: String,
}

impl UserInListView {
    pub(crate) fn new(app: &App, user: User) -> Self {
        Self { id: user.id, username: user.username, full_name: user.full_name, avatar: image_url(app, user.avatar) }
    }
}

/// A subscription, with whoever the list is about as an id and the other one as a user.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscriptionView {
    #[serde(rename = "_id")]
    id: String,
    subscriber: IdOrUser,
    channel: IdOrUser,
    #[serde(serialize_with = "iso")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "iso")]
    updated_at: OffsetDateTime,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum IdOrUser {
    Id(UserId),
    User(UserInListView),
}

impl SubscriptionView {
    pub(crate) fn with_subscriber(subscription: Subscription, subscriber: UserInListView) -> Self {
        let channel = IdOrUser::Id(subscription.channel);
        Self::new(subscription, IdOrUser::User(subscriber), channel)
    }

    pub(crate) fn with_channel(subscription: Subscription, channel: UserInListView) -> Self {
        let subscriber = IdOrUser::Id(subscription.subscriber);
        Self::new(subscription, subscriber, IdOrUser::User(channel))
    }

    fn new(subscription: Subscription, subscriber: IdOrUser, channel: IdOrUser) -> Self {
        let Subscription { id, created_at, updated_at, .. } = subscription;
        Self { id, subscriber, channel, created_at, updated_at }
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
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
pub(crate) struct JobLink {
    id: JobId,
    kind: String,
    state: &'static str,
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
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobView {
    id: JobId,
    kind: String,
    state: &'static str,
    reason: Option<String>,
    attempt: u32,
    failures: u32,
    max_attempts: u32,
    attempts: Vec<AttemptView>,
    /// When it is tried next; only while that is in the future.
    #[serde(serialize_with = "maybe_iso")]
    run_at: Option<OffsetDateTime>,
    #[serde(serialize_with = "iso")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "iso")]
    updated_at: OffsetDateTime,
    #[serde(serialize_with = "maybe_iso")]
    finished_at: Option<OffsetDateTime>,
    asset: Option<AssetId>,
    links: JobLinks,
}

#[derive(Debug, Serialize)]
struct JobLinks {
    #[serde(rename = "self")]
    this: String,
    asset: Option<String>,
}

/// One attempt.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptView {
    number: u32,
    #[serde(serialize_with = "iso")]
    started_at: OffsetDateTime,
    #[serde(serialize_with = "maybe_iso")]
    ended_at: Option<OffsetDateTime>,
    outcome: Option<&'static str>,
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
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssetView {
    #[serde(rename = "_id")]
    id: AssetId,
    state: &'static str,
    url: String,
    resource_type: &'static str,
    content_type: String,
    bytes: u64,
    original_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    job: JobLinkOfAsset,
    #[serde(serialize_with = "iso")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "iso")]
    updated_at: OffsetDateTime,
}

#[derive(Debug, Serialize)]
struct JobLinkOfAsset {
    id: JobId,
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
