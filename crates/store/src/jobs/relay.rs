//! What the relay looks for: jobs that are due and at no broker.
//!
//! Several relays may run. Each `take_` method takes a job by a conditional update that moves the time at which a relay
//! looks at it again, so that one relay publishes a job, and if that relay dies, another does after `hold`.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::{Job, JobId, Trace};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use tracing::warn;

use super::{JobState, Jobs};
use crate::Error;
use crate::codec::decode;

/// A job to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub id: JobId,
    pub job: Job,
    /// What its message carries of the request that submitted it.
    pub trace: Option<Trace>,
    pub queue: String,
}

/// How many jobs of a queue are in a state, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueAge {
    pub queue: String,
    pub state: JobState,
    pub count: u64,
    /// The earliest time at which a relay should look at one of them: the longer ago, the more is wrong.
    pub earliest_due: OffsetDateTime,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DueDocument {
    #[serde(rename = "_id")]
    id: JobId,
    kind: String,
    data: Value,
    queue: String,
    traceparent: Option<String>,
    request_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimeDocument {
    due_at: DateTime,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AgeDocument {
    #[serde(rename = "_id")]
    group: AgeGroup,
    count: u64,
    earliest_due: DateTime,
}

#[derive(Deserialize)]
struct AgeGroup {
    queue: String,
    state: JobState,
}

impl Jobs {
    /// Takes jobs that are pending or retryable and due at `now`, earliest first. Publish each, then
    /// [`Jobs::mark_queued`]. Jobs of a kind that this version does not know stay for a newer one.
    pub async fn take_due(&self, now: OffsetDateTime, limit: u32, hold: Duration) -> Result<Vec<Due>, Error> {
        let states: Vec<&str> = JobState::Queued.sources().map(JobState::as_str).collect();
        self.take(doc! { "state": { "$in": states } }, now, limit, hold).await
    }

    /// When the next pending or retryable job is due, possibly in the past.
    pub async fn next_due_at(&self) -> Result<Option<OffsetDateTime>, Error> {
        let states: Vec<&str> = JobState::Queued.sources().map(JobState::as_str).collect();
        let query = self
            .documents
            .find_one(doc! { "state": { "$in": states }, "dueAt": { "$gt": DateTime::MIN } })
            .sort(doc! { "dueAt": 1 })
            .projection(doc! { "_id": 0, "dueAt": 1 });
        let Some(job) = self.connection.bounded(query).await? else { return Ok(None) };
        let job: TimeDocument = decode("job", &job)?;
        Ok(Some(job.due_at.into()))
    }

    /// Takes jobs whose worker let the lease run out before `now`. They stay running: publish each, and the claim of that
    /// message counts the crash.
    pub async fn take_abandoned(&self, now: OffsetDateTime, limit: u32, hold: Duration) -> Result<Vec<Due>, Error> {
        self.take(doc! { "state": JobState::Running.as_str() }, now, limit, hold).await
    }

    /// Takes jobs of a queue that have been queued for longer than a message should take. They stay queued: publish each, if
    /// the broker says that the queue is empty, since then their messages are lost.
    pub async fn take_lost(
        &self,
        now: OffsetDateTime,
        queue: &str,
        limit: u32,
        hold: Duration,
    ) -> Result<Vec<Due>, Error> {
        self.take(doc! { "state": JobState::Queued.as_str(), "queue": queue }, now, limit, hold).await
    }

    /// The unfinished jobs by queue and state, for readiness and metrics. Answered from an index.
    pub async fn queue_ages(&self) -> Result<Vec<QueueAge>, Error> {
        let unfinished = JobState::ALL.into_iter().filter(|state| !state.is_finished());
        let states: Vec<&str> = unfinished.map(JobState::as_str).collect();
        let pipeline = [
            doc! { "$match": { "state": { "$in": states }, "dueAt": { "$gt": DateTime::MIN } } },
            doc! { "$group": {
                "_id": { "queue": "$queue", "state": "$state" },
                "count": { "$sum": 1 },
                "earliestDue": { "$min": "$dueAt" },
            } },
            doc! { "$sort": { "_id": 1 } },
        ];
        let groups: Vec<AgeDocument> = self
            .connection
            .bounded(async { self.documents.aggregate(pipeline).with_type().await?.try_collect().await })
            .await?;
        Ok(groups
            .into_iter()
            .map(|AgeDocument { group, count, earliest_due }| QueueAge {
                queue: group.queue,
                state: group.state,
                count,
                earliest_due: earliest_due.into(),
            })
            .collect())
    }

    async fn take(&self, filter: Document, now: OffsetDateTime, limit: u32, hold: Duration) -> Result<Vec<Due>, Error> {
        let mut due = filter;
        due.insert("dueAt", doc! { "$lte": DateTime::from(now) });
        let candidates = self
            .documents
            .find(due.clone())
            .sort(doc! { "dueAt": 1 })
            .limit(i64::from(limit))
            .projection(doc! { "_id": 1 });
        let candidates: Vec<RawDocumentBuf> =
            self.connection.bounded(async { candidates.await?.try_collect().await }).await?;
        if candidates.is_empty() {
            return Ok(Vec::new());
        }

        // Marked with a value of this call's own, so that what another relay took at the same time is told apart.
        let hold_mark = ObjectId::new();
        let ids: Vec<Bson> = candidates.iter().filter_map(|job| job.get("_id").ok()??.try_into().ok()).collect();
        due.insert("_id", doc! { "$in": ids });
        let update = vec![doc! { "$set": {
            "hold": hold_mark,
            "dueAt": DateTime::from(now + hold),
            // The job counts as due from here on, whatever the clock of whoever claims it says.
            "runAt": { "$min": ["$runAt", "$$NOW"] },
        } }];
        self.connection.bounded(self.notes.update_many(due.clone(), update)).await?;

        due.remove("dueAt");
        due.insert("hold", hold_mark);
        let taken: Vec<RawDocumentBuf> =
            self.connection.bounded(async { self.documents.find(due).await?.try_collect().await }).await?;
        Ok(taken.iter().filter_map(|job| self.due(job)).collect())
    }

    fn due(&self, job: &RawDocument) -> Option<Due> {
        let job: DueDocument = match decode("job", job) {
            Ok(job) => job,
            Err(cause) => {
                warn!(%cause, "leaving a malformed job");
                return None;
            }
        };
        match Job::from_parts(&job.kind, job.data) {
            Ok(decoded) => {
                let trace = Trace::of(job.request_id, job.traceparent);
                Some(Due { id: job.id, job: decoded, trace, queue: job.queue })
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
