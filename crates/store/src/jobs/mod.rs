//! Jobs: their states, who may run them, and when.

mod cancel;
mod claim;
mod document;
mod failure;
mod feed;
mod hold;
mod line;
mod listing;
mod relay;
mod search;
mod settle;
mod state;
pub(crate) mod transitions;

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use bson::oid::ObjectId;
use bson::{DateTime, Document, RawDocumentBuf, doc};
use crash_points::Point;
use futures_util::TryStreamExt;
use messages::{AssetId, Job, JobId, Payload, RecomputeChannel, Trace, UploadMedia, UserId};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::Error;
use crate::batching::{BatchedReads, Brings, Lookup, Sharing, one_of};
use crate::codec::{decode, decode_found, object_id};
use crate::connection::{Connection, Documents};
use crate::error_groups::ErrorGroups;
use crate::events::Events;
use crate::indexes::{Wanted, expiring, unique_where_unfinished, where_all_present, where_present};

pub use cancel::CancelReason;
pub use claim::{Claim, ClaimRequest, Claimed, Rescue};
pub use document::{Attempt, AttemptOutcome, JobRecord, UploadPosition, UploadProgress, UploadSource};
pub use failure::FailureCode;
pub use feed::{Behind, CatchUp, Change, Changed, Feed};
pub use line::{Counted, Line};
pub use listing::{JobFilter, JobPage, JobPosition};
pub use relay::{Due, QueueAge};
pub use search::{Around, JobEvent, Search, SearchPage};
pub use settle::{Discard, DiscardCode, End, Fence, Outcome, Record, Retry, Settle};
pub use state::{JobState, TRANSITIONS};

/// What is counted of a user's unfinished jobs.
#[derive(Deserialize)]
struct Unfinished {
    count: u64,
}

/// Jobs.
#[derive(Debug, Clone)]
pub struct Jobs {
    pub(crate) connection: Connection,
    pub(crate) documents: Documents,
    /// For writes whose loss in a failover only costs a repetition.
    notes: Documents,
    pub(crate) events: Events,
    pub(crate) error_groups: ErrorGroups,
    /// How many unfinished uploads a user has, by the user.
    unfinished_uploads: BatchedReads<ObjectId>,
    claims: Sharing<claim::Asking>,
    endings: Sharing<settle::Ending>,
    /// Kinds that this version does not know and that the log has mentioned.
    unknown_kinds: Arc<Mutex<BTreeSet<String>>>,
}

impl Jobs {
    pub(crate) fn new(connection: &Connection, events: &Events, error_groups: &ErrorGroups) -> Self {
        let documents = connection.collection("jobs");
        Self {
            connection: connection.clone(),
            unfinished_uploads: BatchedReads::start(connection, unfinished_uploads(&documents)),
            documents,
            notes: connection.notes("jobs"),
            events: events.clone(),
            error_groups: error_groups.clone(),
            claims: Sharing::start(connection),
            endings: Sharing::start(connection),
            unknown_kinds: Arc::default(),
        }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        // Only unfinished jobs have dueAt, so indexes limited to it stay small however many finished ones are kept. One that is limited
        // to two fields is for queries that name both: the server takes it into account for no other.
        let indexes = [
            // The last three are for `queue_ages`, which reads nothing else.
            where_present(doc! { "state": 1, "dueAt": 1, "queue": 1, "runAt": 1, "leaseUntil": 1 }, "dueAt"),
            where_present(doc! { "owner": 1, "kind": 1 }, "dueAt"),
            unique_where_unfinished("uniqueKey"),
            // Of jobs of the first release.
            unique_where_unfinished("channel"),
            where_all_present(doc! { "owner": 1, "finishedAt": 1 }, &["owner", "finishedAt"]),
            expiring(),
            // A user's jobs, and those that have ended in a state: written once a job, not at every step of it.
            where_all_present(doc! { "owner": 1, "createdAt": -1, "_id": -1 }, &["owner", "createdAt"]),
            where_all_present(
                doc! { "owner": 1, "state": 1, "kind": 1, "createdAt": -1, "_id": -1 },
                &["owner", "finishedAt"],
            ),
            where_present(doc! { "asset": 1 }, "asset"),
            // How many are before one in its queue.
            where_all_present(doc! { "queue": 1, "runAt": 1 }, &["dueAt", "runAt"]),
            // What ended when, and how long it took: rollups read nothing else. Written once a job.
            where_present(doc! { "finishedAt": 1, "kind": 1, "state": 1, "createdAt": 1 }, "finishedAt"),
        ];
        indexes.into_iter().chain(search::indexes()).map(|index| (self.documents.clone(), index)).collect()
    }

    pub async fn find(&self, id: JobId) -> Result<Option<JobRecord>, Error> {
        let found = self.connection.bounded(self.documents.find_one(doc! { "_id": id.to_string() })).await?;
        found.map(|job| decode("job", &job)).transpose()
    }

    /// Notes that the broker has confirmed a message for each of these jobs. Says how many that is news for: a worker may be
    /// faster, and may even have failed already. If that is not noted they are published a second time, which is harmless.
    pub async fn mark_queued(&self, ids: &[JobId]) -> Result<u64, Error> {
        self.mark(ids, transitions::published(ids)).await
    }

    /// The same of jobs that were published for the first time, perhaps a while ago. One that has failed since then is a relay's,
    /// which may be about to publish it: marked now, it would be nobody's until its message counts as lost.
    pub async fn mark_new_queued(&self, ids: &[JobId]) -> Result<u64, Error> {
        self.mark(ids, transitions::published_first(ids)).await
    }

    async fn mark(&self, ids: &[JobId], published: Document) -> Result<u64, Error> {
        if ids.is_empty() {
            return Ok(0);
        }
        let update = transitions::queue(self.connection.config().queued_check);
        let marked = self.notes.update_many(published, update);
        let marked = self.connection.bounded(marked).await?.matched_count;
        crash_points::reach(Point::JobMarked);
        Ok(marked)
    }

    /// How many uploads of a user are not finished, those included that were accepted before this was called.
    pub async fn unfinished_uploads(&self, owner: UserId) -> Result<u64, Error> {
        let found = self.unfinished_uploads.one(object_id(owner.bytes())).await?;
        let found: Option<Unfinished> = decode_found("number of uploads", found)?;
        Ok(found.map_or(0, |found| found.count))
    }

    /// How many jobs wait to be published, counted up to `limit`.
    pub async fn unpublished_backlog(&self, limit: u64) -> Result<u64, Error> {
        let filter = doc! { "state": JobState::Pending.as_str(), "dueAt": { "$gt": DateTime::MIN } };
        self.connection.bounded(self.documents.count_documents(filter).limit(limit.max(1))).await
    }

    /// Discarded jobs, the latest first.
    pub async fn discarded(&self, limit: u32) -> Result<Vec<JobRecord>, Error> {
        // By the index of what expires. Discarded jobs are kept longer than others, so most of what is met is one.
        let now = self.connection.now().await?;
        let filter = doc! { "state": JobState::Discarded.as_str(), "expireAt": { "$gt": now } };
        let query = self.documents.find(filter).sort(doc! { "expireAt": -1 }).limit(i64::from(limit.max(1)));
        let found: Vec<RawDocumentBuf> = self.connection.bounded(async { query.await?.try_collect().await }).await?;
        found.iter().map(|job| decode("job", job)).collect()
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
        // In each branch: what the indexes are limited to. Beside them the server would take neither index into account.
        let is_unfinished = doc! { "$exists": true };
        let unfinished = doc! { "$or": [
            { "uniqueKey": { "$in": unique_keys }, "dueAt": &is_unfinished },
            { "channel": { "$in": channels }, "dueAt": &is_unfinished },
        ] };
        let found = self.documents.find(unfinished).projection(doc! { "uniqueKey": 1, "channel": 1 });
        let found: Vec<RawDocumentBuf> = self.connection.bounded(async { found.await?.try_collect().await }).await?;
        let key = |job: &RawDocumentBuf| match job.get_str("uniqueKey") {
            Ok(key) => Some(key.to_owned()),
            Err(_) => Some(format!("{}:{}", RecomputeChannel::KIND, job.get_object_id("channel").ok()?)),
        };
        Ok(found.iter().filter_map(key).collect())
    }

    /// A job to be written, which is left to whoever writes it for a while before the relay publishes it.
    /// `now` is the server's.
    pub(crate) fn new_job(
        &self,
        id: JobId,
        job: &Job,
        owner: Option<UserId>,
        asset: Option<AssetId>,
        trace: Option<&Trace>,
        now: DateTime,
    ) -> JobRecord {
        let now = OffsetDateTime::from(now);
        let Trace { request_id, traceparent, tracestate } = trace.cloned().unwrap_or_default();
        JobRecord {
            id,
            kind: job.kind().to_owned(),
            data: job.data(),
            queue: job.queue(),
            owner,
            asset,
            channel: match job {
                Job::RecomputeChannel(recompute) => Some(recompute.channel),
                _ => None,
            },
            source: None,
            unique_key: Self::unique_key(job),
            state: JobState::Pending,
            attempt: 0,
            failures: 0,
            crashes: 0,
            max_attempts: self.connection.config().max_attempts,
            run_at: now,
            due_at: Some(now + self.connection.config().publish_grace),
            worker: None,
            lease_until: None,
            attempts: Vec::new(),
            upload: None,
            reason: None,
            code: None,
            replayable: false,
            traceparent,
            tracestate,
            request_id,
            created_at: now,
            updated_at: now,
            finished_at: None,
            error_group: None,
            events: Vec::new(),
            follow_ups: Vec::new(),
        }
    }
}

/// How the unfinished uploads of users are counted.
fn unfinished_uploads(documents: &Documents) -> Lookup<ObjectId> {
    Lookup {
        documents: documents.clone(),
        filter: |owners| {
            doc! {
                "owner": one_of(owners.iter().copied()),
                "kind": UploadMedia::KIND,
                // What the index is limited to, and what a finished job does not have.
                "dueAt": { "$exists": true },
            }
        },
        brings: Brings::Groups(|| doc! { "_id": "$owner", "count": { "$sum": 1 } }),
        key: |group| group.get_object_id("_id").ok(),
    }
}
