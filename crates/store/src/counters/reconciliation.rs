//! What comparing stored counts with recounts has found, in all workers.

use bson::{Document, doc};
use serde::Deserialize;
use serde_with::serde_as;
use time::OffsetDateTime;

use super::{Counters, Drift};
use crate::Error;
use crate::codec::{BsonDateTime, decode_found};

/// The name of its document.
const LAST: &str = "last";

/// What comparing stored counts with recounts has found.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconciliation {
    /// When some were compared last.
    #[serde_as(as = "BsonDateTime")]
    pub at: OffsetDateTime,
    /// How many were compared then.
    #[serde(default)]
    pub checked: u64,
    /// How many of them were wrong.
    #[serde(default)]
    pub drifted: u64,
    /// How many were ever compared.
    #[serde(default)]
    pub checked_ever: u64,
    /// How many were ever wrong.
    #[serde(default)]
    pub drifted_ever: u64,
    /// The one that was wrong last; none if none ever was.
    pub last_drift: Option<LastDrift>,
}

/// A count that was wrong, and was corrected.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastDrift {
    #[serde_as(as = "BsonDateTime")]
    pub at: OffsetDateTime,
    /// Which counter, and of which subject.
    pub key: String,
    /// The subject's name for people.
    #[serde(default)]
    pub title: String,
    pub stored: i64,
    pub counted: i64,
}

impl Counters {
    /// Notes what a comparison has found. A second call counts it once more.
    pub async fn note_reconciled(&self, checked: u64, drifted: u64, last: Option<&Drift>) -> Result<(), Error> {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let and = |field: &str, more: u64| doc! { "$add": [{ "$ifNull": [field, 0_i64] }, number(more)] };
        let mut set = doc! {
            "at": "$$NOW",
            "checked": number(checked),
            "drifted": number(drifted),
            "checkedEver": and("$checkedEver", checked),
            "driftedEver": and("$driftedEver", drifted),
        };
        if let Some(Drift { key, title, stored, counted }) = last {
            let drift = doc! {
                "at": "$$NOW",
                "key": { "$literal": key.to_string() },
                "title": { "$literal": title },
                "stored": stored.number,
                "counted": counted.number,
            };
            set.insert("lastDrift", drift);
        }
        let update: Vec<Document> = vec![doc! { "$set": set }];
        let notes = self.connection.notes("reconciliations");
        let noted = notes.update_one(doc! { "_id": LAST }, update);
        self.connection.bounded(noted.upsert(true)).await?;
        Ok(())
    }

    /// What comparisons have found. `None`: there was none.
    pub async fn reconciled(&self) -> Result<Option<Reconciliation>, Error> {
        let documents = self.connection.collection("reconciliations");
        let found = self.connection.bounded(documents.find_one(doc! { "_id": LAST })).await?;
        decode_found("reconciliation", found)
    }
}
