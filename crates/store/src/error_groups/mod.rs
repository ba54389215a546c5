//! Groups of failures that are the same but for what differs each time: how often, since when, and one of them as an example.
//!
//! A job that fails names its group in the same update that records the failure. The group itself is written beside that, at most once a
//! second a program, however many jobs fail meanwhile. A program that crashes loses what it has counted since: the numbers are a
//! little too small, and nothing else is wrong. Where nothing fails nothing is written.

mod collected;
mod fingerprint;

use std::sync::Arc;
use std::time::Duration;

use bson::{DateTime, Document, RawDocumentBuf, doc};
use messages::JobId;
use serde::Deserialize;
use serde_with::serde_as;
use time::OffsetDateTime;

use crate::Error;
use crate::codec::{BsonDateTime, decode_entry, decode_found};
use crate::connection::{Connection, Documents};
use crate::indexes::{Wanted, expiring, plain};
use crate::jobs::Attempt;

use collected::Collected;
pub(crate) use fingerprint::normalised;
pub use fingerprint::{ErrorGroupId, NoErrorGroupId};

/// How long a group is kept after its latest failure.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The server stops a question after that.
const LIMIT: Duration = Duration::from_secs(5);
/// Characters of an example.
const LONGEST: usize = 2_000;

/// Failures that are the same but for what differs each time.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorGroup {
    #[serde(rename = "_id")]
    pub id: ErrorGroupId,
    /// The kind of the jobs.
    pub kind: String,
    /// As in [`Attempt::code`].
    pub code: String,
    /// What the media host answered, if that was it.
    pub status: Option<u16>,
    /// The error, with placeholders for what differs each time.
    pub message: String,
    /// How often it was met. A little too small if a program has crashed.
    pub count: u64,
    #[serde_as(as = "BsonDateTime")]
    pub first_seen: OffsetDateTime,
    #[serde_as(as = "BsonDateTime")]
    pub last_seen: OffsetDateTime,
    /// The latest of them.
    pub example: ErrorExample,
}

/// A failure of a group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ErrorExample {
    pub job: JobId,
    pub error: String,
    pub worker: Option<String>,
}

/// A group in a list. Each may move to the beginning of the list at any time.
#[serde_as]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorGroupPosition {
    /// To the millisecond.
    #[serde_as(as = "BsonDateTime")]
    pub last_seen: OffsetDateTime,
    #[serde(rename = "_id")]
    pub id: ErrorGroupId,
}

/// A part of the list of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorGroupPage {
    /// Those that were met last are first.
    pub items: Vec<ErrorGroup>,
    /// Where the next part begins, if there is more.
    pub next: Option<ErrorGroupPosition>,
}

/// A failure that belongs in a group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sighting {
    pub group: ErrorGroupId,
    pub kind: String,
    pub code: String,
    pub status: Option<u16>,
    pub message: String,
    pub job: JobId,
    pub error: String,
    pub worker: Option<String>,
}

impl Sighting {
    pub(crate) fn new(
        kind: &str,
        code: &str,
        status: Option<u16>,
        error: &str,
        job: JobId,
        worker: Option<String>,
    ) -> Self {
        let message = normalised(error);
        Self {
            group: ErrorGroupId::of(kind, code, status, &message),
            kind: kind.to_owned(),
            code: code.to_owned(),
            status,
            message,
            job,
            error: error.chars().take(LONGEST).collect(),
            worker,
        }
    }

    /// Of an attempt that has failed. None if it does not say how.
    pub(crate) fn of(kind: &str, job: JobId, attempt: &Attempt) -> Option<Self> {
        let (code, error) = (attempt.code.as_deref()?, attempt.error.as_deref()?);
        Some(Self::new(kind, code, attempt.status, error, job, Some(attempt.worker.clone())))
    }
}

/// Groups of failures.
#[derive(Debug, Clone)]
pub struct ErrorGroups {
    connection: Connection,
    documents: Documents,
    collected: Arc<Collected>,
}

impl ErrorGroups {
    pub(crate) fn new(connection: &Connection) -> Self {
        let documents = connection.collection("error_groups");
        Self { connection: connection.clone(), documents, collected: Arc::default() }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        let indexes = [
            plain(doc! { "lastSeen": -1, "_id": -1 }),
            plain(doc! { "kind": 1, "lastSeen": -1, "_id": -1 }),
            expiring(),
        ];
        indexes.map(|index| (self.documents.clone(), index)).into()
    }

    pub async fn find(&self, id: ErrorGroupId) -> Result<Option<ErrorGroup>, Error> {
        let found = self.documents.find_one(doc! { "_id": id.to_string() }).max_time(LIMIT);
        decode_found("error group", self.connection.bounded(found).await?)
    }

    /// Groups, those that were met last first, of one kind of jobs or of all, at most `limit`; those `after` [`ErrorGroupPage::next`] of
    /// the part before. One that is met meanwhile moves to the beginning.
    pub async fn list(
        &self,
        kind: Option<&str>,
        after: Option<&ErrorGroupPosition>,
        limit: u32,
    ) -> Result<ErrorGroupPage, Error> {
        let mut filter = Document::new();
        filter.extend(kind.map(|kind| ("kind".to_owned(), kind.into())));
        if let Some(ErrorGroupPosition { last_seen, id }) = after {
            let time = DateTime::from(*last_seen);
            filter.insert("lastSeen", doc! { "$lte": time });
            filter.insert("$nor", vec![doc! { "lastSeen": time, "_id": { "$gte": id.to_string() } }]);
        }
        let limit = limit.max(1);
        let query = self.documents.find(filter).sort(doc! { "lastSeen": -1, "_id": -1 }).max_time(LIMIT);
        let mut found: Vec<RawDocumentBuf> = self.connection.collect(query.limit(i64::from(limit) + 1)).await?;
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let last = found.last().filter(|_| has_more);
        let next = last.and_then(|last| decode_entry("error group", last));
        let items = found.iter().filter_map(|group| decode_entry("error group", group)).collect();
        Ok(ErrorGroupPage { items, next })
    }
}
