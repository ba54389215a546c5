//! Reading what workers told.

use bson::{DateTime, Document, RawDocumentBuf, doc};
use time::OffsetDateTime;

use super::{Worker, Workers};
use crate::Error;
use crate::codec::{decode_entry, decode_found};

/// Workers that are looked at at once, at most.
const FLEET: i64 = 1_000;

/// Where a part of the list of workers ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerPosition {
    pub since: OffsetDateTime,
    pub name: String,
}

/// A part of the list of workers.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerPage {
    pub items: Vec<Worker>,
    /// Where the next part begins; none at the end.
    pub next: Option<WorkerPosition>,
}

impl Workers {
    /// A worker by its name.
    pub async fn find(&self, name: &str) -> Result<Option<Worker>, Error> {
        let found = self.documents.find_one(doc! { "_id": name }).projection(shown());
        decode_found("worker", self.connection.bounded(found).await?)
    }

    /// Workers, those that started last first. `left`: also those that ended in good order.
    pub async fn list(&self, left: bool, after: Option<&WorkerPosition>, limit: u32) -> Result<WorkerPage, Error> {
        let mut filter = Document::new();
        if !left {
            filter.insert("leftAt", doc! { "$exists": false });
        }
        if let Some(WorkerPosition { since, name }) = after {
            let since = DateTime::from(*since);
            filter.insert("since", doc! { "$lte": since });
            filter.insert("$nor", vec![doc! { "since": since, "_id": { "$gte": name } }]);
        }
        let query = self.documents.find(filter).sort(doc! { "since": -1, "_id": -1 });
        let query = query.limit(i64::from(limit) + 1).projection(shown()).max_time(self.connection.config().timeout);
        let mut found = self.connection.collect(query).await?;
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let items = read(&found);
        let next = items.last().filter(|_| has_more);
        let next = next.map(|last| WorkerPosition { since: last.since, name: last.name.clone() });
        Ok(WorkerPage { items, next })
    }

    /// Those that have not said that they end, the latest sign of life first; at most a thousand.
    pub async fn present(&self) -> Result<Vec<Worker>, Error> {
        let query = self.documents.find(doc! { "leftAt": null }).sort(doc! { "lastSign": -1 }).limit(FLEET);
        let query = query.projection(shown()).max_time(self.connection.config().timeout);
        Ok(read(&self.connection.collect(query).await?))
    }
}

fn read(found: &[RawDocumentBuf]) -> Vec<Worker> {
    found.iter().filter_map(|worker| decode_entry("worker", worker)).collect()
}

/// All of a worker, and how long ago its last sign of life was.
fn shown() -> Document {
    let mut shown: Document = [
        "version",
        "host",
        "spool",
        "since",
        "lastSign",
        "leftAt",
        "draining",
        "slots",
        "running",
        "runningCount",
        "clockOffsetMs",
        "spoolFill",
    ]
    .map(|field| (field.to_owned(), 1.into()))
    .into_iter()
    .collect();
    shown.insert("silentMs", doc! { "$subtract": ["$$NOW", "$lastSign"] });
    shown
}
