//! Comparing what is stored with a recount, at one moment, so that a healthy system is found healthy while it is being changed.

use bson::{RawDocumentBuf, doc};

use super::{CounterKey, Counters, Numbers, Pace};
use crate::Error;
use crate::codec::object_ids;

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
        let sum = doc! { "$group": { "_id": null, "by": { "$sum": { "$toLong": "$by" } } } };
        let recount = self.count_and_add_up(key, sum).await?;
        let Some(counted) = &recount.counted else { return Ok(Checked::Gone) };
        let stored = key.counter.stored(&counted.before);
        let stored = stored.map(|stored| Numbers { number: stored.number + recount.waiting, ..stored });
        if stored == Some(counted.numbers) {
            return Ok(Checked::Right);
        }
        let Some(corrected) = self.correct(key, pace).await? else { return Ok(Checked::Gone) };
        let Some(stored) = stored else { return Ok(Checked::First) };
        let title = counted.before.get_str(key.counter.title).unwrap_or_default().to_owned();
        Ok(Checked::Mended(Drift { key: *key, title, stored, counted: corrected }))
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
                return Ok(correction.0.counted.map(|counted| counted.numbers));
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
            let drawn = self.connection.collect(documents.aggregate(pipeline).with_type::<RawDocumentBuf>()).await?;
            sample.extend(object_ids(&drawn).map(|subject| CounterKey { counter, subject }));
        }
        Ok(sample)
    }

    /// The counts after one, in the order of counters and of their subjects' ids, at most `limit`.
    pub async fn after(&self, mut after: Option<CounterKey>, limit: u32) -> Result<Vec<CounterKey>, Error> {
        for counter in self.all {
            if after.is_some_and(|after| after.counter.name != counter.name) {
                continue;
            }
            let filter = after.map_or_else(|| doc! {}, |after| doc! { "_id": { "$gt": after.subject } });
            let documents = self.documents(counter);
            let query = documents.find(filter).sort(doc! { "_id": 1 }).limit(i64::from(limit));
            let found = self.connection.collect(query.projection(doc! { "_id": 1 })).await?;
            if !found.is_empty() {
                return Ok(object_ids(&found).map(|subject| CounterKey { counter, subject }).collect());
            }
            // On to the next counter, from its beginning.
            after = None;
        }
        Ok(Vec::new())
    }
}
