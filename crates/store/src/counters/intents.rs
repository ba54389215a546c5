//! Intents: changes that no stored count has in it yet.

use bson::oid::ObjectId;
use bson::{Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use mongodb::{ClientSession, Cursor};
use time::OffsetDateTime;

use super::{Counter, CounterKey, Counters};
use crate::Error;
use crate::codec::encode;

/// Changes that no stored count has in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many counts have some.
    pub dirty: u64,
    /// When the oldest was written.
    pub oldest: Option<OffsetDateTime>,
}

/// Intents that one transaction deletes. More wait only after hours without a worker.
pub(super) const AT_ONCE: u64 = 20_000;

impl Counters {
    /// Writes the intent of a change, in the transaction of the change. Never updated, so that neither who changes nor who
    /// recounts waits for the other. `more` may say who changed it.
    pub(crate) async fn intend(
        &self,
        session: &mut ClientSession,
        key: &CounterKey,
        by: i32,
        more: Document,
    ) -> Result<(), Error> {
        let mut intent = doc! { "_id": ObjectId::new(), key.counter.subject: key.subject };
        intent.extend(more);
        intent.insert("by", by);
        self.intents(key.counter).insert_one(encode(&intent)?).session(session).await?;
        Ok(())
    }

    /// How many counts have intents, and when the oldest of those was written, by the clock of whoever wrote it.
    pub async fn waiting(&self) -> Result<Waiting, Error> {
        let mut waiting = Waiting::default();
        for counter in self.all {
            let mut pipeline = subjects(counter);
            pipeline.push(doc! { "$count": "dirty" });
            let intents = self.intents(counter);
            let dirty: Vec<RawDocumentBuf> = self.connection.collect(intents.aggregate(pipeline).with_type()).await?;
            let dirty = dirty.first().and_then(|found| found.get_i32("dirty").ok());
            waiting.dirty += dirty.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
            let oldest = intents.find_one(doc! {}).sort(doc! { "_id": 1 }).projection(doc! { "_id": 1 });
            let oldest = self.connection.bounded(oldest).await?.and_then(|intent| intent.get_object_id("_id").ok());
            let written = oldest.map(|id| OffsetDateTime::from(id.timestamp()));
            waiting.oldest = [waiting.oldest, written].into_iter().flatten().min();
        }
        Ok(waiting)
    }

    /// Subjects of a counter with intents. The server steps through an index from one subject to the next.
    pub(super) async fn changed(&self, counter: &Counter) -> Result<Cursor<RawDocumentBuf>, Error> {
        self.connection.bounded(self.intents(counter).aggregate(subjects(counter)).with_type()).await
    }

    /// Keeps the transaction that stores a count small when very many changes wait: joins the oldest into the stored count,
    /// part by part, so that the stored count and the intents that wait add up to the same at every moment.
    pub(super) async fn thin_out(&self, key: &CounterKey) -> Result<(), Error> {
        let intents = self.intents(key.counter);
        loop {
            let waiting = intents.count_documents(doc! { key.counter.subject: key.subject });
            if self.connection.bounded(waiting.limit(2 * AT_ONCE)).await? < 2 * AT_ONCE {
                return Ok(());
            }
            let mut key = *key;
            self.connection
                .transaction(self, &mut key, |counters, session, key| Box::pin(counters.join_oldest(session, key)))
                .await?;
        }
    }

    async fn join_oldest(&self, session: &mut ClientSession, key: &CounterKey) -> Result<(), Error> {
        let CounterKey { counter, subject } = key;
        let intents = self.intents(counter);
        let oldest = intents.find(doc! { counter.subject: subject }).sort(doc! { counter.subject: 1, "_id": 1 });
        let oldest = oldest.limit(i64::try_from(AT_ONCE).unwrap_or(i64::MAX)).projection(doc! { "by": 1 });
        let mut oldest = oldest.session(&mut *session).await?;
        let oldest: Vec<RawDocumentBuf> = oldest.stream(&mut *session).try_collect().await?;
        let ids: Vec<ObjectId> = oldest.iter().filter_map(|intent| intent.get_object_id("_id").ok()).collect();
        let by: i64 = oldest.iter().filter_map(|intent| intent.get_i32("by").ok()).map(i64::from).sum();
        // Counts that began before this do not have all of these in them, and find the version changed. A subject that nobody
        // has counted stays so.
        let number = format!("${}.{}", counter.result, counter.number);
        let joined = doc! { "$cond": [{ "$isNumber": &number }, { "$add": [&number, by] }, "$$REMOVE"] };
        let version = doc! { "$ifNull": [format!("${}.version", counter.result), 0_i64] };
        let update = vec![doc! { "$set": {
            format!("{}.{}", counter.result, counter.number): joined,
            format!("{}.version", counter.result): { "$add": [version, 1_i64] },
        } }];
        self.documents(counter).update_one(doc! { "_id": subject }, update).session(&mut *session).await?;
        intents.delete_many(doc! { "_id": { "$in": ids } }).session(session).await?;
        Ok(())
    }
}

/// Finds the subjects of a counter with intents.
fn subjects(counter: &Counter) -> Vec<Document> {
    let field = counter.subject;
    vec![
        doc! { "$sort": { field: 1, "_id": 1 } },
        doc! { "$group": { "_id": format!("${field}"), "first": { "$first": "$_id" } } },
    ]
}
