//! Comparing what is stored with a recount, at one moment, so that a healthy system is found healthy while it is being changed.

use bson::oid::ObjectId;
use bson::{RawDocumentBuf, doc};
use futures_util::TryStreamExt;

use super::recount::Numbers;
use super::{CounterKey, Counters, Pace};
use crate::Error;

/// How often a count is corrected that others replace meanwhile.
const TRIES: usize = 10;

/// Stored numbers that were wrong, and are no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    pub key: CounterKey,
    pub title: String,
    /// What was stored, with the changes that waited to be counted.
    pub stored: Numbers,
    /// What is true, and stored now.
    pub counted: Numbers,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// The stored numbers and the changes that wait add up to a recount.
    Right,
    /// Nobody had counted the subject before. Now somebody has.
    First,
    /// They did not. The recount is stored.
    Mended(Drift),
    Gone,
}

impl Counters {
    /// Compares a stored count with a recount, and corrects it if they differ.
    pub async fn reconcile(&self, key: &CounterKey, pace: &Pace) -> Result<Checked, Error> {
        let Some((counted, waiting)) = self.compared(key).await? else { return Ok(Checked::Gone) };
        let stored = counted.before.numbers(key.counter);
        let stored = stored.map(|stored| Numbers { number: stored.number + waiting, ..stored });
        if stored == Some(counted.numbers) {
            return Ok(Checked::Right);
        }
        let Some(corrected) = self.correct(key, pace).await? else { return Ok(Checked::Gone) };
        let Some(stored) = stored else { return Ok(Checked::First) };
        Ok(Checked::Mended(Drift { key: *key, title: counted.before.title, stored, counted: corrected }))
    }

    /// Counts a subject and stores the numbers, again if somebody else has done so meanwhile.
    async fn correct(&self, key: &CounterKey, pace: &Pace) -> Result<Option<Numbers>, Error> {
        for _ in 0..TRIES {
            let mut correction = (self.count(key).await?, pace);
            let is_stored = self
                .connection
                .transaction(self, &mut correction, |counters, session, (recount, pace)| {
                    Box::pin(counters.join_recount(session, recount, pace))
                })
                .await?;
            if is_stored {
                return Ok(correction.0.numbers());
            }
        }
        Err(Error::Unavailable("others count it all the time".into()))
    }

    /// Counts drawn at random, at most `size` of each counter.
    pub async fn sample(&self, size: u32) -> Result<Vec<CounterKey>, Error> {
        let mut sample = Vec::new();
        for counter in self.all {
            let pipeline = [doc! { "$sample": { "size": i64::from(size) } }, doc! { "$project": { "_id": 1 } }];
            let documents = self.documents(counter);
            let drawn = documents.aggregate(pipeline).with_type::<RawDocumentBuf>();
            let drawn: Vec<_> = self.connection.bounded(async { drawn.await?.try_collect().await }).await?;
            sample.extend(ids(&drawn).map(|subject| CounterKey { counter, subject }));
        }
        Ok(sample)
    }

    /// The counts after one, in the order of counters and of their subjects' ids, at most `limit`.
    pub async fn after(&self, after: Option<CounterKey>, limit: u32) -> Result<Vec<CounterKey>, Error> {
        let mut after = after;
        for counter in self.all {
            if after.is_some_and(|after| after.counter.name != counter.name) {
                continue;
            }
            let filter = after.map_or_else(|| doc! {}, |after| doc! { "_id": { "$gt": after.subject } });
            let documents = self.documents(counter);
            let query = documents.find(filter).sort(doc! { "_id": 1 }).limit(i64::from(limit));
            let query = query.projection(doc! { "_id": 1 });
            let found: Vec<_> = self.connection.bounded(async { query.await?.try_collect().await }).await?;
            if !found.is_empty() {
                return Ok(ids(&found).map(|subject| CounterKey { counter, subject }).collect());
            }
            // On to the next counter, from its beginning.
            after = None;
        }
        Ok(Vec::new())
    }
}

/// Ids of another type are no subjects of ours.
fn ids(found: &[RawDocumentBuf]) -> impl Iterator<Item = ObjectId> {
    found.iter().filter_map(|document| document.get_object_id("_id").ok())
}
