//! What the relay looks for: jobs that are due and at no broker.
//!
//! Several relays may run. Each `take_` method takes a job by a conditional update that moves the time at which a relay
//! looks at it again, so that one relay publishes a job, and if that relay dies, another does after `hold`.

use std::time::Duration;

use bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::{DecodeError, Job, JobId, Trace};
use serde::Deserialize;
use serde_json::Value;
use serde_with::serde_as;
use time::OffsetDateTime;
use tracing::warn;

use super::{JobRecord, JobState, Jobs, transitions};
use crate::Error;
use crate::codec::{BsonDateTime, after, decode};
use crate::connection::id;

/// A job to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub id: JobId,
    pub job: Job,
    /// What its message carries of the request that submitted it.
    pub trace: Option<Trace>,
}

/// What a message needs of a job. A defect elsewhere is left for the claim to find, after which the message is dead-lettered,
/// where a person sees it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DueDocument {
    #[serde(rename = "_id")]
    id: JobId,
    kind: String,
    data: Value,
    traceparent: Option<String>,
    tracestate: Option<String>,
    request_id: Option<String>,
}

impl TryFrom<JobRecord> for Due {
    type Error = DecodeError;

    fn try_from(job: JobRecord) -> Result<Self, DecodeError> {
        Ok(Self { id: job.id, job: job.job()?, trace: job.trace() })
    }
}

/// How many jobs of a queue are in a state, and since when.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueAge {
    pub queue: String,
    pub state: JobState,
    pub count: u64,
    /// Since when the one waits that waits the longest: since it was due, or since its lease ran out if it runs. A relay that takes it
    /// changes nothing about that. In the future: it does not wait yet.
    #[serde_as(as = "BsonDateTime")]
    pub waiting_since: OffsetDateTime,
}

impl Jobs {
    /// Takes jobs that are pending or retryable and due, earliest first. Publish each, then [`Jobs::mark_queued`]. Jobs of a
    /// kind that this version does not know stay for a newer one.
    pub async fn take_due(&self, limit: u32, hold: Duration) -> Result<Vec<Due>, Error> {
        let states: Vec<&str> = JobState::Queued.sources().map(JobState::as_str).collect();
        self.take(doc! { "state": { "$in": states } }, limit, hold).await
    }

    /// How long it is until there is something for [`Jobs::take_due`] or [`Jobs::take_abandoned`]; nothing, if there is.
    pub async fn next_due_in(&self) -> Result<Option<Duration>, Error> {
        let waiting = JobState::Queued.sources().chain([JobState::Running]);
        let states: Vec<&str> = waiting.map(JobState::as_str).collect();
        let query = self
            .documents
            .find_one(doc! { "state": { "$in": states }, "dueAt": { "$gt": DateTime::MIN } })
            .sort(doc! { "dueAt": 1 })
            .projection(doc! { "_id": 0, "left": { "$subtract": ["$dueAt", "$$NOW"] } });
        let next = self.connection.bounded(query).await?;
        let left = next.and_then(|job| job.get_i64("left").ok());
        Ok(left.map(|left| Duration::from_millis(left.max(0).unsigned_abs())))
    }

    /// Takes jobs whose worker let the lease run out. They stay running: publish each, and the claim of that message counts
    /// the crash.
    pub async fn take_abandoned(&self, limit: u32, hold: Duration) -> Result<Vec<Due>, Error> {
        self.take(doc! { "state": JobState::Running.as_str() }, limit, hold).await
    }

    /// Takes jobs of a queue that have been queued for longer than a message should take. They stay queued: publish each, if
    /// the broker says that the queue is empty, since then their messages are lost.
    pub async fn take_lost(&self, queue: &str, limit: u32, hold: Duration) -> Result<Vec<Due>, Error> {
        self.take(doc! { "state": JobState::Queued.as_str(), "queue": queue }, limit, hold).await
    }

    /// Makes jobs of a queue pending again that were published at least so long `ago`: their messages went with the queue, which was
    /// `replaced` so long ago. They are due at once. Returns how many it found: call it again until there are none. A job that it has
    /// found since the replacement is not among them again.
    pub async fn lose(&self, ago: Duration, replaced: Duration, queue: &str, limit: u32) -> Result<usize, Error> {
        let mut lost = transitions::published_before(ago, replaced, queue, self.connection.config().queued_check);
        let found = self.documents.find(lost.clone()).sort(doc! { "dueAt": 1 }).limit(i64::from(limit));
        let found: Vec<RawDocumentBuf> = self.connection.collect(found.projection(doc! { "_id": 1 })).await?;
        if found.is_empty() {
            return Ok(0);
        }
        let ids: Vec<Bson> = found.iter().filter_map(id).collect();
        lost.insert("_id", doc! { "$in": ids });
        // Not a note: nobody would find them again.
        self.connection.bounded(self.documents.update_many(lost, transitions::lose())).await?;
        Ok(found.len())
    }

    /// The unfinished jobs by queue and state, for readiness and metrics. Answered from an index.
    pub async fn queue_ages(&self) -> Result<Vec<QueueAge>, Error> {
        let is_running = doc! { "$eq": ["$state", JobState::Running.as_str()] };
        let unfinished = JobState::ALL.into_iter().filter(|state| !state.is_finished());
        let states: Vec<&str> = unfinished.map(JobState::as_str).collect();
        let pipeline = [
            doc! { "$match": { "state": { "$in": states }, "dueAt": { "$gt": DateTime::MIN } } },
            doc! { "$group": {
                "_id": { "queue": "$queue", "state": "$state" },
                "count": { "$sum": 1 },
                "waitingSince": { "$min": { "$cond": [is_running, "$leaseUntil", "$runAt"] } },
            } },
            doc! { "$sort": { "_id": 1 } },
            doc! { "$set": { "queue": "$_id.queue", "state": "$_id.state" } },
        ];
        self.connection
            .bounded(async { self.documents.aggregate(pipeline).with_type().await?.try_collect().await })
            .await
    }

    async fn take(&self, filter: Document, limit: u32, hold: Duration) -> Result<Vec<Due>, Error> {
        // Due, and until when others leave a job alone, is by the server's clock: a relay whose own is wrong takes nothing early.
        let is_due = doc! { "dueAt": { "$gt": DateTime::MIN }, "$expr": { "$lte": ["$dueAt", "$$NOW"] } };
        let change = doc! {
            "dueAt": after(hold),
            // Programs of earlier releases wrote it by their own clocks.
            "runAt": { "$min": ["$runAt", "$$NOW"] },
        };
        let taken = self.connection.take(&self.documents, &self.notes, filter, is_due, limit, change).await?;
        Ok(taken.iter().filter_map(|job| self.known(job)).collect())
    }

    /// A job of a kind that this version knows.
    fn known(&self, job: &RawDocument) -> Option<Due> {
        let job: DueDocument = decode("job", job).inspect_err(|cause| warn!(%cause, "leaving a malformed job")).ok()?;
        match Job::from_parts(&job.kind, job.data) {
            Ok(known) => {
                let trace = Trace::of(job.request_id, job.traceparent);
                let trace = trace.map(|trace| trace.with_tracestate(job.tracestate));
                Some(Due { id: job.id, job: known, trace })
            }
            Err(cause) => {
                if self.first_sighting(&job.kind) {
                    warn!(job.id = %job.id, job.kind, request_id = job.request_id, %cause, "leaving jobs of a kind for a newer version");
                }
                None
            }
        }
    }

    /// Whether a kind is met for the first time, to report it once.
    fn first_sighting(&self, kind: &str) -> bool {
        self.unknown_kinds.lock().is_ok_and(|mut kinds| kinds.len() < 1000 && kinds.insert(kind.to_owned()))
    }
}
