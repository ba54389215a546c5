//! Jobs: their states, who may run them, and when.

mod claim;
pub(crate) mod document;
mod progress;
mod relay;
mod settle;
mod state;
pub(crate) mod transitions;

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use bson::oid::ObjectId;
use bson::{DateTime, RawDocumentBuf, doc};
use crash_points::Point;
use futures_util::TryStreamExt;
use messages::{AssetId, DecodeError, Job, JobId, Payload, RecomputeChannel, Trace, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::Error;
use crate::codec::{decode, object_id};
use crate::connection::{Connection, Documents};
use crate::events::Events;
use crate::indexes::{Wanted, expiring, unique_where_unfinished, where_present};
use crate::jobs::document::JobDocument;

pub use claim::{Claim, ClaimRequest, Claimed, Rescue};
pub use progress::{UploadPosition, UploadProgress};
pub use relay::{Due, QueueAge};
pub use settle::{Discard, End, Fence, Outcome, Record, Retry, Settle};
pub use state::{JobState, TRANSITIONS};

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRecord {
    pub id: JobId,
    /// Such as `media.upload.v1`. May be one that this version does not know.
    pub kind: String,
    pub data: Value,
    pub queue: String,
    pub owner: Option<UserId>,
    pub asset: Option<AssetId>,
    pub state: JobState,
    /// How often it was begun; names the attempt that holds it.
    pub attempt: u32,
    /// How often it failed in a way that counts against `max_attempts`.
    pub failures: u32,
    /// How often a worker vanished while it ran, since it last got further ([`Jobs::note_progress`]).
    pub crashes: u32,
    /// Failures after which it is discarded.
    pub max_attempts: u32,
    /// It does not start before this.
    pub run_at: OffsetDateTime,
    pub worker: Option<String>,
    /// Until when its worker holds it, unless the lease is renewed.
    pub lease_until: Option<OffsetDateTime>,
    /// Its latest attempts, oldest first; at most 250.
    pub attempts: Vec<Attempt>,
    /// How far its upload has come, if that goes in chunks.
    pub upload: Option<UploadProgress>,
    pub reason: Option<String>,
    /// Of a discarded job: whether it can be redriven, because what it needs is still there.
    pub replayable: bool,
    pub traceparent: Option<String>,
    pub request_id: Option<String>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
    pub finished_at: Option<OffsetDateTime>,
}

impl JobRecord {
    /// The kind of [`Job::UploadMedia`].
    pub(crate) const UPLOAD: &'static str = "media.upload.v1";

    /// What to do.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for a kind or payload that this version does not know.
    pub fn job(&self) -> Result<Job, DecodeError> {
        Job::from_parts(&self.kind, self.data.clone())
    }

    /// What its messages carry of the request that submitted it.
    pub fn trace(&self) -> Option<Trace> {
        Trace::of(self.request_id.clone(), self.traceparent.clone())
    }
}

/// One execution of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    pub worker: String,
    pub started_at: OffsetDateTime,
    /// When it ended, or was found abandoned.
    pub ended_at: Option<OffsetDateTime>,
    pub outcome: Option<AttemptOutcome>,
    pub error: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptOutcome {
    /// The work is done.
    #[serde(rename = "completed")]
    Completed,
    /// It failed in a way that may pass.
    #[serde(rename = "retry")]
    Retry,
    /// It failed because of our configuration, which a person must mend.
    #[serde(rename = "operator")]
    Operator,
    /// It failed for good.
    #[serde(rename = "discarded")]
    Discarded,
    /// Its worker vanished.
    #[serde(rename = "crashed")]
    Crashed,
    /// Its work is no longer wanted.
    #[serde(rename = "cancelled")]
    Cancelled,
    /// Its worker left it to another: it shut down, or its time for one attempt was up although it got on, or another one had taken over
    /// in the belief that it had vanished.
    #[serde(rename = "released")]
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

/// Jobs.
#[derive(Debug, Clone)]
pub struct Jobs {
    pub(crate) connection: Connection,
    pub(crate) documents: Documents,
    /// For writes whose loss in a failover only costs a repetition.
    notes: Documents,
    events: Events,
    /// Kinds that this version does not know and that the log has mentioned.
    unknown_kinds: Arc<Mutex<BTreeSet<String>>>,
}

impl Jobs {
    pub(crate) fn new(connection: &Connection, events: &Events) -> Self {
        Self {
            connection: connection.clone(),
            documents: connection.collection("jobs"),
            notes: connection.notes("jobs"),
            events: events.clone(),
            unknown_kinds: Arc::default(),
        }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        // Only unfinished jobs have dueAt, so all but the last stay small however many finished ones are kept.
        let indexes = [
            where_present(doc! { "state": 1, "dueAt": 1, "queue": 1 }, "dueAt"),
            where_present(doc! { "owner": 1, "kind": 1 }, "dueAt"),
            unique_where_unfinished("uniqueKey"),
            // Of jobs of the first release.
            unique_where_unfinished("channel"),
            expiring(),
        ];
        indexes.map(|index| (self.documents.clone(), index)).into()
    }

    /// The job with an id.
    pub async fn find(&self, id: JobId) -> Result<Option<JobRecord>, Error> {
        let Some(job) = self.connection.bounded(self.documents.find_one(doc! { "_id": id.to_string() })).await? else {
            return Ok(None);
        };
        let job: JobDocument = decode("job", &job)?;
        Ok(Some(job.into()))
    }

    /// Notes that the broker has confirmed a message for each of these jobs. Says how many that is news for: a worker may be
    /// faster, and may even have failed already.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`]. The jobs are then published a second time, which is harmless.
    pub async fn mark_queued(&self, ids: &[JobId]) -> Result<u64, Error> {
        if ids.is_empty() {
            return Ok(0);
        }
        let update = transitions::queue(self.connection.config().queued_check);
        let marked = self.notes.update_many(transitions::published(ids), update);
        let marked = self.connection.bounded(marked).await?.matched_count;
        crash_points::reach(Point::JobMarked);
        Ok(marked)
    }

    /// How many uploads of a user are not finished.
    pub async fn unfinished_uploads(&self, owner: UserId) -> Result<u64, Error> {
        // dueAt is what the index is limited to, and what a finished job does not have.
        let filter = doc! {
            "owner": object_id(owner.bytes()),
            "kind": JobRecord::UPLOAD,
            "dueAt": { "$exists": true },
        };
        self.connection.bounded(self.documents.count_documents(filter)).await
    }

    /// How many jobs wait to be published, counted up to `limit`.
    pub async fn unpublished_backlog(&self, limit: u64) -> Result<u64, Error> {
        let filter = doc! { "state": JobState::Pending.as_str(), "dueAt": { "$gt": DateTime::MIN } };
        self.connection.bounded(self.documents.count_documents(filter).limit(limit.max(1))).await
    }

    /// Discarded jobs, the latest first.
    pub async fn discarded(&self, limit: u32) -> Result<Vec<JobRecord>, Error> {
        // By the index of what expires. Discarded jobs are kept longer than others, so most of what is met is one.
        let filter = doc! { "state": JobState::Discarded.as_str(), "expireAt": { "$gt": DateTime::now() } };
        let query = self.documents.find(filter).sort(doc! { "expireAt": -1 }).limit(i64::from(limit.max(1)));
        let found: Vec<RawDocumentBuf> = self.connection.bounded(async { query.await?.try_collect().await }).await?;
        found.iter().map(|job| Ok(decode::<JobDocument>("job", job)?.into())).collect()
    }

    /// What at most one unfinished job may have, of a kind that has such a key.
    pub(crate) fn unique_key(job: &Job) -> Option<String> {
        Some(format!("{}:{}", job.kind(), job.unique_key()?))
    }

    /// Those of some unique keys that an unfinished job has.
    pub(crate) async fn unfinished_of(&self, unique_keys: &[String]) -> Result<HashSet<String>, Error> {
        // Jobs of the first release have a channel and no key.
        let old = |key: &String| ObjectId::parse_str(key.strip_prefix(RecomputeChannel::KIND)?.strip_prefix(':')?).ok();
        let channels: Vec<ObjectId> = unique_keys.iter().filter_map(old).collect();
        let unfinished = doc! {
            "$or": [{ "uniqueKey": { "$in": unique_keys } }, { "channel": { "$in": channels } }],
            "dueAt": { "$exists": true },
        };
        let found = self.documents.find(unfinished).projection(doc! { "uniqueKey": 1, "channel": 1 });
        let found: Vec<RawDocumentBuf> = self.connection.bounded(async { found.await?.try_collect().await }).await?;
        let key = |job: &RawDocumentBuf| match job.get_str("uniqueKey") {
            Ok(key) => Some(key.to_owned()),
            Err(_) => Some(format!("{}:{}", RecomputeChannel::KIND, job.get_object_id("channel").ok()?)),
        };
        Ok(found.iter().filter_map(key).collect())
    }

    /// A job to be written, which is left to whoever writes it for a while before the relay publishes it.
    pub(crate) fn new_job(
        &self,
        id: JobId,
        job: &Job,
        owner: Option<UserId>,
        asset: Option<AssetId>,
        trace: Option<&Trace>,
    ) -> JobDocument {
        let now = DateTime::now();
        let Trace { request_id, traceparent } = trace.cloned().unwrap_or_default();
        JobDocument {
            id,
            kind: job.kind().to_owned(),
            data: job.data(),
            queue: job.queue(),
            owner: owner.map(|id| object_id(id.bytes())),
            asset: asset.map(|id| object_id(id.bytes())),
            channel: match job {
                Job::RecomputeChannel(recompute) => Some(object_id(recompute.channel.bytes())),
                _ => None,
            },
            unique_key: Self::unique_key(job),
            state: JobState::Pending,
            attempt: 0,
            failures: 0,
            crashes: 0,
            max_attempts: self.connection.config().max_attempts,
            run_at: now,
            due_at: Some(DateTime::from_system_time(now.to_system_time() + self.connection.config().publish_grace)),
            worker: None,
            lease_until: None,
            attempts: Vec::new(),
            upload: None,
            reason: None,
            replayable: false,
            traceparent,
            request_id,
            created_at: now,
            updated_at: now,
            finished_at: None,
        }
    }
}
