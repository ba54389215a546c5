//! A job as it stands in the database.

use bson::DateTime;
use bson::oid::ObjectId;
use messages::{AssetId, JobId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::progress::ProgressDocument;
use crate::{Attempt, AttemptOutcome, JobRecord, JobState};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobDocument {
    #[serde(rename = "_id")]
    pub id: JobId,
    pub kind: String,
    pub data: Value,
    pub queue: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<ObjectId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<ObjectId>,
    /// Programs of the first release see by it that a channel has an unfinished recompute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ObjectId>,
    /// At most one unfinished job has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    pub state: JobState,
    pub attempt: u32,
    pub failures: u32,
    pub crashes: u32,
    pub max_attempts: u32,
    pub run_at: DateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<DateTime>,
    pub attempts: Vec<AttemptDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<ProgressDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default)]
    pub replayable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    pub created_at: DateTime,
    pub updated_at: DateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptDocument {
    pub number: u32,
    pub worker: String,
    pub started_at: DateTime,
    #[serde(default)]
    pub ended_at: Option<DateTime>,
    #[serde(default)]
    pub outcome: Option<AttemptOutcome>,
    #[serde(default)]
    pub error: Option<String>,
}

impl From<JobDocument> for JobRecord {
    fn from(job: JobDocument) -> Self {
        Self {
            id: job.id,
            kind: job.kind,
            data: job.data,
            queue: job.queue,
            owner: job.owner.map(|id| UserId::from_bytes(id.bytes())),
            asset: job.asset.map(|id| AssetId::from_bytes(id.bytes())),
            state: job.state,
            attempt: job.attempt,
            failures: job.failures,
            crashes: job.crashes,
            max_attempts: job.max_attempts,
            run_at: job.run_at.into(),
            worker: job.worker,
            lease_until: job.lease_until.map(Into::into),
            attempts: job.attempts.into_iter().map(Into::into).collect(),
            upload: job.upload.map(Into::into),
            reason: job.reason,
            replayable: job.replayable,
            traceparent: job.traceparent,
            request_id: job.request_id,
            created_at: job.created_at.into(),
            updated_at: job.updated_at.into(),
            finished_at: job.finished_at.map(Into::into),
        }
    }
}

impl From<AttemptDocument> for Attempt {
    fn from(attempt: AttemptDocument) -> Self {
        Self {
            number: attempt.number,
            worker: attempt.worker,
            started_at: attempt.started_at.into(),
            ended_at: attempt.ended_at.map(Into::into),
            outcome: attempt.outcome,
            error: attempt.error,
        }
    }
}
