//! How often something was tried, counted for all processes together.
//!
//! A count belongs to a key and to a window of time, and goes with the window. Counting is one update of one document by its
//! `_id`.

use std::time::Duration;

use bson::{DateTime, doc};
use futures_util::future::try_join_all;
use mongodb::options::ReturnDocument;

use crate::Error;
use crate::clock::later;
use crate::codec::after;
use crate::connection::{Connection, Documents};
use crate::indexes::{Wanted, expiring};

/// A count after it was raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hits {
    /// The document, to take the attempt back.
    id: String,
    /// Attempts in this window, the present one included.
    pub count: u32,
    /// Until the window ends and counting begins anew.
    pub resets_in: Duration,
}

/// Counts and notes that are kept for a time.
#[derive(Debug, Clone)]
pub struct RateLimits {
    connection: Connection,
    /// Losing some in a failover lets somebody try a little more often, so they wait for no majority.
    documents: Documents,
}

impl RateLimits {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self { connection: connection.clone(), documents: connection.notes("attempts") }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        vec![(self.documents.clone(), expiring())]
    }

    /// Counts an attempt in the present window of a length, and answers with the count. After an error it may have been counted.
    pub async fn hit(&self, key: &str, window: Duration) -> Result<Hits, Error> {
        // The same window in every process, so by the server's clock.
        let now = self.connection.now().await?.timestamp_millis();
        let now = Duration::from_millis(now.max(0).unsigned_abs());
        let length = window.as_secs().max(1);
        let number = now.as_secs() / length;
        let end = Duration::from_secs((number + 1) * length);
        let id = format!("{key}:{length}:{number}");
        let update = doc! {
            "$inc": { "n": 1_i64 },
            "$setOnInsert": { "expireAt": later(DateTime::from_millis(0), end) },
        };
        // Of two that insert it at once the server runs the later one again: the filter names the unique key and no more.
        let count = self.documents.find_one_and_update(doc! { "_id": &id }, update).upsert(true);
        let count = self.connection.bounded(count.return_document(ReturnDocument::After)).await?;
        let corrupt = || Error::Corrupt { what: "count", id: id.clone(), cause: "it has no number".into() };
        let count = count.and_then(|count| count.get_i64("n").ok()).ok_or_else(corrupt)?;
        Ok(Hits { id, count: u32::try_from(count.max(0)).unwrap_or(u32::MAX), resets_in: end.saturating_sub(now) })
    }

    /// Takes attempts back that turned out not to be worth counting.
    pub async fn take_back(&self, counts: &[Hits]) -> Result<(), Error> {
        let back = counts.iter().map(async |count| {
            let update = self.documents.update_one(doc! { "_id": &count.id }, doc! { "$inc": { "n": -1_i64 } });
            self.connection.bounded(update).await
        });
        try_join_all(back).await.map(|_| ())
    }

    /// Notes something for a time; noted again, the time begins anew.
    pub async fn note(&self, key: &str, kept: Duration) -> Result<(), Error> {
        let until = vec![doc! { "$set": { "expireAt": after(kept) } }];
        let update = self.documents.update_one(doc! { "_id": key }, until);
        self.connection.bounded(update.upsert(true)).await.map(|_| ())
    }

    /// Whether something was noted and its time has not passed.
    pub async fn is_noted(&self, key: &str) -> Result<bool, Error> {
        let filter = doc! { "_id": key, "$expr": { "$gt": ["$expireAt", "$$NOW"] } };
        Ok(self.connection.bounded(self.documents.find_one(filter)).await?.is_some())
    }
}
