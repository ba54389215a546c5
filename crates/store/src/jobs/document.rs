//! A job as it stands in the database.

use messages::{AssetId, DecodeError, EventId, Job, JobId, Trace, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with::{serde_as, skip_serializing_none};
use time::OffsetDateTime;

use crate::codec::{AssetObjectId, BsonDateTime, UserObjectId};
use crate::{ErrorGroupId, JobState, MediaType, Role, Spooled};

/// A job.
#[serde_as]
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRecord {
    #[serde(rename = "_id")]
    pub id: JobId,
    /// Such as `media.upload.v1`. May be one that this version does not know.
    pub kind: String,
    pub data: Value,
    pub queue: String,
    #[serde_as(as = "Option<UserObjectId>")]
    pub owner: Option<UserId>,
    #[serde_as(as = "Option<AssetObjectId>")]
    pub asset: Option<AssetId>,
    /// Programs of the first release see by it that a channel has an unfinished recount.
    #[serde_as(as = "Option<UserObjectId>")]
    pub channel: Option<UserId>,
    /// What it uploads, as it was accepted. None if it uploads nothing, was redriven, or was accepted by a version before this one.
    pub source: Option<UploadSource>,
    /// At most one unfinished job has it.
    pub unique_key: Option<String>,
    pub state: JobState,
    /// How often it was begun; names the attempt that holds it.
    pub attempt: u32,
    /// How often it failed in a way that counts against `max_attempts`.
    pub failures: u32,
    /// How often a worker vanished while it ran, since it last got further ([`Jobs::note_progress`](super::Jobs::note_progress)).
    pub crashes: u32,
    /// Failures after which it is discarded.
    pub max_attempts: u32,
    /// It does not start before this.
    #[serde_as(as = "BsonDateTime")]
    pub run_at: OffsetDateTime,
    /// When a relay looks at it, until it is finished.
    #[serde_as(as = "Option<BsonDateTime>")]
    pub due_at: Option<OffsetDateTime>,
    pub worker: Option<String>,
    /// Until when its worker holds it, unless the lease is renewed.
    #[serde_as(as = "Option<BsonDateTime>")]
    pub lease_until: Option<OffsetDateTime>,
    /// Its latest attempts, oldest first; at most 250.
    pub attempts: Vec<Attempt>,
    /// How far its upload has come, if that goes in chunks.
    pub upload: Option<UploadProgress>,
    pub reason: Option<String>,
    /// The same for programs: of a discarded job as in [`DiscardCode`](super::DiscardCode), of a cancelled one `superseded`. None if a
    /// version before this one recorded it.
    pub code: Option<String>,
    /// Of a discarded job: whether it can be redriven, because what it needs is still there.
    #[serde(default)]
    pub replayable: bool,
    pub traceparent: Option<String>,
    /// Goes with `traceparent`. None if nobody has added to that, or if the job was accepted by a version before this one.
    pub tracestate: Option<String>,
    pub request_id: Option<String>,
    #[serde_as(as = "BsonDateTime")]
    pub created_at: OffsetDateTime,
    #[serde_as(as = "BsonDateTime")]
    pub updated_at: OffsetDateTime,
    #[serde_as(as = "Option<BsonDateTime>")]
    pub finished_at: Option<OffsetDateTime>,
    /// The group of its latest failure. None if it has not failed, or in an earlier release.
    pub error_group: Option<ErrorGroupId>,
    /// What it has brought about, as far as it is known: of what ended in an earlier release it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventId>,
    /// Jobs that it has brought about, as far as they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follow_ups: Vec<JobId>,
}

impl JobRecord {
    /// What to do. Fails for a kind or payload that this version does not know.
    pub fn job(&self) -> Result<Job, DecodeError> {
        Job::from_parts(&self.kind, self.data.clone())
    }

    /// What its messages carry of the request that submitted it.
    pub fn trace(&self) -> Option<Trace> {
        let trace = Trace::of(self.request_id.clone(), self.traceparent.clone())?;
        Some(trace.with_tracestate(self.tracestate.clone()))
    }
}

/// One execution of a job.
#[serde_as]
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    pub worker: String,
    #[serde_as(as = "BsonDateTime")]
    pub started_at: OffsetDateTime,
    /// When it ended, or was found abandoned.
    #[serde_as(as = "Option<BsonDateTime>")]
    pub ended_at: Option<OffsetDateTime>,
    pub outcome: Option<AttemptOutcome>,
    pub error: Option<String>,
    /// The error for programs, as in [`FailureCode`](super::FailureCode) or, of the attempt that was refused for good,
    /// [`DiscardCode`](super::DiscardCode). None if there is none, or a version before this one recorded it.
    pub code: Option<String>,
    /// The HTTP status that the media host answered, if that was it.
    pub status: Option<u16>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttemptOutcome {
    Completed,
    /// It failed in a way that may pass.
    Retry,
    /// It failed because of our configuration, which a person must mend.
    Operator,
    /// It failed for good.
    Discarded,
    /// Its worker vanished.
    Crashed,
    /// Its work is no longer wanted.
    Cancelled,
    /// Its worker left it to another: it shut down, or its time for one attempt was up although it got on, or another one had taken over
    /// in the belief that it had vanished. Or it was not tried, for want of something that others had.
    Released,
}

impl AttemptOutcome {
    /// The outcome as it stands in documents and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Retry => "retry",
            Self::Operator => "operator",
            Self::Discarded => "discarded",
            Self::Crashed => "crashed",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
        }
    }
}

/// What an upload needs to know of its asset, so that a worker need not look it up.
///
/// It is true for a job's first attempt: until that has begun, whatever changes the asset ends the job in the same transaction. A later
/// attempt asks the asset, which may have been superseded meanwhile or, redriven, have another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadSource {
    pub role: Role,
    #[serde(rename = "spool")]
    pub spooled: Spooled,
    #[serde(flatten)]
    pub media_type: MediaType,
    pub bytes: u64,
    /// As in the asset: empty if there is a CRC-32.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub md5: String,
    /// CRC-32 of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32: Option<u32>,
    /// The file's name at the client. Not to be trusted.
    pub original_name: String,
    pub public_id: String,
}

/// Where an upload in chunks goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadPosition {
    /// What ties its chunks together at the media host.
    #[serde(rename = "id")]
    pub upload_id: String,
    /// Bytes from the start that the media host has acknowledged.
    pub acknowledged_bytes: u64,
    /// The size of its chunks, bytes.
    pub chunk_size: u64,
    /// How often it was begun at its first byte.
    pub begun: u32,
}

/// How far a job's upload has come.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadProgress {
    #[serde(flatten)]
    pub position: UploadPosition,
    /// The most bytes that were ever acknowledged, also of an upload that had to begin anew.
    pub furthest_bytes: u64,
    /// When this was noted, by the database's clock.
    #[serde_as(as = "BsonDateTime")]
    pub noted_at: OffsetDateTime,
}
