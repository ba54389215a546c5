//! What changes among jobs, as it changes, for those who show it.
//!
//! A [`Feed`] says *that* a job has changed; how it stands is then read. So nothing depends on how many changes there were in
//! between, and whoever has lost a feed opens another one and [catches up](Jobs::catch_up).

use std::time::Duration;

use bson::{DateTime, Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use messages::{JobId, UserId};
use mongodb::change_stream::ChangeStream;
use serde::Deserialize;
use serde_with::serde_as;
use time::OffsetDateTime;
use tracing::warn;

use super::listing::latest_attempt;
use super::{JobRecord, Jobs};
use crate::Error;
use crate::codec::{UserObjectId, decode, object_id};

/// How long the server waits for a change before it says that there is none.
const WAIT: Duration = Duration::from_secs(1);

/// A job that has changed. It may have changed again since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub job: JobId,
    /// Of a new job, and of one that was written as a whole; otherwise nothing is said of it.
    pub owner: Option<UserId>,
    pub what: Changed,
    /// When it was committed, in whole seconds, rounded down.
    pub at: OffsetDateTime,
}

/// What of a job has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Its state, or whatever else moves `updatedAt`.
    State,
    /// It had ended, and is unfinished again.
    Redriven,
    /// How far its upload has come, and nothing else.
    Progress,
}

/// As the server is asked to tell it.
#[serde_as]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangeDocument {
    document_key: Key,
    cluster_time: Timestamp,
    #[serde_as(as = "Option<UserObjectId>")]
    #[serde(default)]
    owner: Option<UserId>,
    operation_type: String,
    /// The fields that an update has set; those inside of others with their paths.
    #[serde(default)]
    set: Option<Vec<String>>,
    #[serde(default)]
    removed: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "_id")]
    id: JobId,
}

/// Changes of jobs, from the moment at which it was opened, in the order in which they were committed, once a majority has them.
#[derive(Debug)]
pub struct Feed {
    stream: ChangeStream<RawDocumentBuf>,
    timeout: Duration,
}

/// How far somebody has come who reads what has become of a user's jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// Among the unfinished ones.
    Unfinished(Option<Behind>),
    /// Among those that have ended.
    Ended(Option<Behind>),
}

/// Behind this job, which was accepted or has ended then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    at: DateTime,
    job: JobId,
}

impl CatchUp {
    pub const START: Self = Self::Unfinished(None);
}

impl Feed {
    /// The next change. `None`: there was none for a moment; ask again. After an error it has ended, and so it has if this is dropped
    /// before it answers.
    pub async fn next(&mut self) -> Result<Option<Change>, Error> {
        // Boxed: what the driver does when it has to connect again is large.
        let next = tokio::time::timeout(self.timeout, Box::pin(self.stream.next_if_any())).await;
        match next.map_err(|_| Error::timed_out(self.timeout))?? {
            Some(change) => Ok(read(&change)),
            None if self.stream.is_alive() => Ok(None),
            None => Err(Error::Unavailable("the server has ended a feed".into())),
        }
    }
}

impl Jobs {
    /// Opens a feed. Whatever is read after that, or told by it, is all that there is to know: nothing falls between.
    pub async fn watch(&self) -> Result<Feed, Error> {
        let opening = self.documents.watch().pipeline(pipeline()).max_await_time(WAIT);
        let stream = self.connection.bounded(opening).await?.with_type();
        Ok(Feed { stream, timeout: self.connection.config().timeout + WAIT })
    }

    /// Jobs as they are now, in no order, each with its latest attempt only. One that is gone or malformed is left out.
    pub async fn current(&self, ids: &[JobId]) -> Result<Vec<JobRecord>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = ids.iter().map(JobId::to_string).collect();
        let found = self.documents.find(doc! { "_id": { "$in": ids } }).projection(latest_attempt());
        Ok(records(&self.connection.collect(found).await?))
    }

    /// What has become of a user's jobs: all that are unfinished, and those that have ended `since` then, each with its latest attempt
    /// only. A part of them, and where to go on, unless it was the last. A part has `limit` jobs at most, and twice as many where one
    /// list ends and the other begins.
    ///
    /// A job that ends meanwhile may come twice. Each comes as it was when it was read, which was after the call began.
    pub async fn catch_up(
        &self,
        owner: UserId,
        since: OffsetDateTime,
        from: CatchUp,
        limit: usize,
    ) -> Result<(Vec<JobRecord>, Option<CatchUp>), Error> {
        let owner = object_id(owner.bytes());
        let (mut jobs, mut behind) = (Vec::new(), None);
        // In this order: one that ends in between is met among those that have ended.
        match from {
            CatchUp::Unfinished(behind) => {
                // What the index is limited to. Not sorted by `_id`: the server might go by that index, through all jobs.
                let unfinished = doc! { "owner": owner, "dueAt": { "$exists": true } };
                let (part, next) = self.part(unfinished, "createdAt", behind, limit).await?;
                if next.is_some() {
                    return Ok((part, Some(CatchUp::Unfinished(next))));
                }
                jobs = part;
            }
            CatchUp::Ended(from) => behind = from,
        }
        let ended = doc! { "owner": owner, "finishedAt": { "$gte": DateTime::from(since) } };
        let (part, next) = self.part(ended, "finishedAt", behind, limit).await?;
        jobs.extend(part);
        Ok((jobs, next.map(|next| CatchUp::Ended(Some(next)))))
    }

    /// The next jobs of a list that is sorted by a time, and the last of them if there may be more.
    async fn part(
        &self,
        mut filter: Document,
        time: &'static str,
        behind: Option<Behind>,
        limit: usize,
    ) -> Result<(Vec<JobRecord>, Option<Behind>), Error> {
        if let Some(Behind { at, job }) = behind {
            filter.insert(time, doc! { "$gte": at });
            filter.insert("$or", vec![doc! { time: { "$gt": at } }, doc! { "_id": { "$gt": job.to_string() } }]);
        }
        let size = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = self.documents.find(filter).sort(doc! { time: 1, "_id": 1 }).limit(size);
        let found = self.connection.collect(found.projection(latest_attempt())).await?;
        let last = found.last().filter(|_| found.len() >= limit);
        let behind = |last: &RawDocumentBuf| {
            Some(Behind { at: last.get_datetime(time).ok()?, job: last.get_str("_id").ok()?.parse().ok()? })
        };
        Ok((records(&found), last.and_then(behind)))
    }
}

/// Which changes the server tells, and what of them: no documents, and not that a lease was renewed.
fn pipeline() -> [Document; 3] {
    let updated = doc! { "$ifNull": ["$updateDescription.updatedFields", Document::new()] };
    [
        doc! { "$match": { "operationType": { "$in": ["insert", "update", "replace"] } } },
        doc! { "$project": {
            "operationType": 1,
            "ns": 1,
            "documentKey": 1,
            "clusterTime": 1,
            "owner": "$fullDocument.owner",
            "set": { "$map": { "input": { "$objectToArray": updated }, "in": "$$this.k" } },
            "removed": "$updateDescription.removedFields",
        } },
        doc! { "$match": { "$or": [
            { "operationType": { "$ne": "update" } },
            // Two changes within a millisecond have the same `updatedAt`, which the second one does not tell then.
            { "set": { "$in": ["state", "updatedAt", "upload", "upload.notedAt"] } },
        ] } },
    ]
}

fn read(change: &RawDocument) -> Option<Change> {
    let read = decode::<ChangeDocument>("change of a job", change);
    let change = read.inspect_err(|cause| warn!(%cause, "leaving a change of a job")).ok()?;
    let has = |fields: &Option<Vec<String>>, name: &str| fields.iter().flatten().any(|field| field == name);
    let what = if has(&change.removed, "finishedAt") {
        Changed::Redriven
    } else if change.operation_type != "update" || has(&change.set, "state") || has(&change.set, "updatedAt") {
        Changed::State
    } else {
        Changed::Progress
    };
    let at = OffsetDateTime::from_unix_timestamp(i64::from(change.cluster_time.time)).ok()?;
    Some(Change { job: change.document_key.id, owner: change.owner, what, at })
}

/// One that is malformed is no reason to show none.
fn records(found: &[RawDocumentBuf]) -> Vec<JobRecord> {
    let record = |job: &RawDocumentBuf| decode("job", job).inspect_err(|cause| warn!(%cause, "showing no job")).ok();
    found.iter().filter_map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode;

    fn told(kind: &str, set: &[&str], removed: &[&str]) -> Changed {
        let change = doc! {
            "_id": { "_data": "82" },
            "operationType": kind,
            "clusterTime": Timestamp { time: 1_700_000_000, increment: 3 },
            "documentKey": { "_id": JobId::new().to_string() },
            "set": set,
            "removed": removed,
        };
        let change = read(&encode(&change).expect("a document")).expect("a change");
        assert_eq!((change.owner, change.at.unix_timestamp()), (None, 1_700_000_000));
        change.what
    }

    #[test]
    fn progress_is_told_from_a_change_of_state_and_that_from_a_redrive() {
        assert_eq!(told("insert", &[], &[]), Changed::State);
        assert_eq!(told("replace", &[], &[]), Changed::State);
        assert_eq!(told("update", &["state", "dueAt", "updatedAt"], &["worker"]), Changed::State);
        assert_eq!(told("update", &["state", "dueAt"], &[]), Changed::State);
        assert_eq!(told("update", &["upload.acknowledgedBytes", "upload.notedAt", "dueAt"], &[]), Changed::Progress);
        assert_eq!(told("update", &["upload", "updatedAt"], &[]), Changed::State);
        assert_eq!(told("update", &["state", "updatedAt"], &["reason", "finishedAt"]), Changed::Redriven);
    }
}
