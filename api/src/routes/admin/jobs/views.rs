//! What admins see of jobs in lists.

use std::collections::HashMap;

use messages::{AssetId, JobId, UserId};
use serde::Serialize;
use store::{ErrorGroupId, JobRecord, JobState, User};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::http::response::iso;
use crate::openapi::schemas;
use crate::routes::jobs::progress::ProgressView;
use crate::state::App;

/// A part of what is found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminJobPage)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobsView {
    /// Newest first.
    pub(crate) items: Vec<AdminJobView>,
    /// What to ask for as `cursor`, with the same filters, to get more; null at the end.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
    /// Set if there are fewer items than were asked for because so many jobs had to be looked at: all that were accepted at this time or
    /// later. Go on with `nextCursor`.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) searched_to: Option<OffsetDateTime>,
}

/// Whose a job is.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AdminJobOwner)]
pub(crate) struct OwnerView {
    #[schema(schema_with = schemas::object_id)]
    pub(crate) id: UserId,
    /// Null if there is no such user any more.
    #[schema(required)]
    pub(crate) username: Option<String>,
}

/// A job in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminJobSummary)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AdminJobView {
    #[schema(value_type = String, format = Uuid)]
    pub(crate) id: JobId,
    #[schema(example = "media.upload.v1")]
    pub(crate) kind: String,
    #[schema(example = "media.upload.here")]
    pub(crate) queue: String,
    #[schema(schema_with = schemas::job_state)]
    pub(crate) state: &'static str,
    #[schema(required)]
    pub(crate) owner: Option<OwnerView>,
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{24}$", required)]
    pub(crate) asset: Option<AssetId>,
    /// Why it was discarded or cancelled; null otherwise.
    #[schema(required)]
    pub(crate) reason: Option<String>,
    /// The reason for programs.
    #[schema(required, example = "refused")]
    pub(crate) code: Option<String>,
    /// Of a discarded job: whether a redrive may help.
    pub(crate) replayable: bool,
    /// The number of the latest attempt, from 1; 0 before the first.
    pub(crate) attempt: u32,
    pub(crate) failures: u32,
    /// At how many failures it is discarded.
    pub(crate) max_attempts: u32,
    /// How many workers vanished while they ran it, since it last got further.
    pub(crate) crashes: u32,
    /// Which made the latest attempt.
    #[schema(required)]
    pub(crate) worker: Option<String>,
    /// What the latest attempt ran into, as it was recorded.
    #[schema(required)]
    pub(crate) error: Option<String>,
    /// The group of its latest failure, also if it has ended well since.
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{16}$", required)]
    pub(crate) error_group: Option<ErrorGroupId>,
    // When it is tried next; only while that is in the future.
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) run_at: Option<OffsetDateTime>,
    /// How much of the file the media host has; null unless it uploads one.
    #[schema(required)]
    pub(crate) progress: Option<ProgressView>,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) created_at: OffsetDateTime,
    #[serde(serialize_with = "iso::serialize")]
    pub(crate) updated_at: OffsetDateTime,
    #[serde(serialize_with = "iso::option::serialize")]
    #[schema(required)]
    pub(crate) finished_at: Option<OffsetDateTime>,
}

impl AdminJobView {
    fn new(job: JobRecord, names: &HashMap<UserId, String>) -> Self {
        let latest = job.attempts.last();
        Self {
            progress: ProgressView::of(&job, None),
            owner: job.owner.map(|id| OwnerView { id, username: names.get(&id).cloned() }),
            worker: latest.map(|attempt| attempt.worker.clone()),
            error: latest.and_then(|attempt| attempt.error.clone()),
            run_at: (job.state == JobState::Retryable).then_some(job.run_at),
            id: job.id,
            kind: job.kind,
            queue: job.queue,
            state: job.state.as_str(),
            asset: job.asset,
            reason: job.reason,
            code: job.code,
            replayable: job.replayable,
            attempt: job.attempt,
            failures: job.failures,
            max_attempts: job.max_attempts,
            crashes: job.crashes,
            error_group: job.error_group,
            created_at: job.created_at,
            updated_at: job.updated_at,
            finished_at: job.finished_at,
        }
    }

    /// With the names of their owners, which are looked up together.
    pub(crate) async fn of_all(app: &App, jobs: Vec<JobRecord>) -> Result<Vec<Self>, store::Error> {
        let mut owners: Vec<UserId> = jobs.iter().filter_map(|job| job.owner).collect();
        owners.sort_unstable();
        owners.dedup();
        let users = if owners.is_empty() { Vec::new() } else { app.store.users().find_all(&owners).await? };
        let names = users.into_iter().map(|User { id, username, .. }| (id, username)).collect();
        Ok(jobs.into_iter().map(|job| Self::new(job, &names)).collect())
    }
}
