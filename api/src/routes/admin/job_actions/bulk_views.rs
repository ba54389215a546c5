//! What admins see of actions on all jobs that match a filter.

use messages::{ActionId, JobId};
use serde::Serialize;
use store::{BulkAction, BulkPosition, JobRecord};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::http::response::iso;
use crate::openapi::schemas;
use crate::routes::admin::audit::ActorView;
use crate::routes::admin::cursor;

const LIST: &str = "bulk-actions";

/// A number that is counted up to a limit.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = CountedJobs)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CountedView {
    #[schema(example = 10_000)]
    pub(crate) count: u64,
    /// Whether there are, or may be, more.
    pub(crate) at_least: bool,
}

/// A job that an action would be done on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkActionExample)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExampleView {
    #[schema(value_type = String, format = Uuid)]
    pub(crate) id: JobId,
    #[schema(example = "media.upload.v1")]
    pub(crate) kind: String,
    #[schema(schema_with = schemas::job_state)]
    pub(crate) state: &'static str,
    /// Why it was discarded, if it was.
    #[schema(required)]
    pub(crate) reason: Option<String>,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) created_at: OffsetDateTime,
}

impl ExampleView {
    pub(super) fn new(job: JobRecord) -> Self {
        Self { id: job.id, kind: job.kind, state: job.state.as_str(), reason: job.reason, created_at: job.created_at }
    }
}

/// An action on all jobs that match a filter.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkAction)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkActionView {
    #[schema(value_type = String, format = Uuid)]
    pub(crate) id: ActionId,
    /// `retry`, `discard` or `cancel`.
    #[schema(example = "retry")]
    pub(crate) action: &'static str,
    /// `pending`, `running`, `completed`, `stopped` or `failed`.
    #[schema(example = "running")]
    pub(crate) state: &'static str,
    /// Whether it stops before its next jobs.
    pub(crate) is_stopping: bool,
    /// Why it has failed; null otherwise.
    #[schema(required)]
    pub(crate) reason: Option<String>,
    /// Who has asked for it.
    pub(crate) by: ActorView,
    /// How many matched when it was asked for.
    pub(crate) matched: CountedView,
    /// Jobs that it has changed.
    pub(crate) done: u64,
    /// Jobs that could not be changed: a file is gone, they can never succeed, or something newer is in their place.
    pub(crate) failed: u64,
    /// Jobs in which there was nothing to change when they were met.
    pub(crate) skipped: u64,
    /// The job that does it.
    #[schema(value_type = String, format = Uuid)]
    pub(crate) job: JobId,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) updated_at: OffsetDateTime,
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) ended_at: Option<OffsetDateTime>,
}

impl BulkActionView {
    pub(super) fn new(action: BulkAction) -> Self {
        Self {
            id: action.id,
            action: action.decision.as_str(),
            state: action.state.as_str(),
            is_stopping: action.stop && !action.state.has_ended(),
            reason: action.reason,
            by: ActorView { user: action.by.user, name: action.by.name },
            matched: CountedView { count: action.matched, at_least: action.matched_more },
            done: action.done,
            failed: action.failed,
            skipped: action.skipped,
            job: action.job,
            created_at: action.created_at,
            updated_at: action.updated_at,
            ended_at: action.ended_at,
        }
    }
}

/// A part of the list of actions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkActionPage)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkActionsView {
    /// Newest first.
    pub(crate) items: Vec<BulkActionView>,
    /// What to ask for as `cursor` to get more; null at the end.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

pub(super) fn written(position: &BulkPosition) -> String {
    cursor::write(LIST, position.created_at, &position.id.to_string())
}

pub(super) fn position(text: &str) -> Option<BulkPosition> {
    let (created_at, id) = cursor::read(LIST, text)?;
    Some(BulkPosition { created_at, id: id.parse().ok()? })
}
