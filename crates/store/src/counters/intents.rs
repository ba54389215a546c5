//! Intents: changes that no stored count has in it yet.

use bson::oid::ObjectId;
use bson::{Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use mongodb::{ClientSession, Cursor};

use super::{Counter, CounterKey, Counters};
use crate::Error;
use crate::codec::encode;

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

    /// Subjects of a counter with intents. The server steps through an index from one subject to the next.
    pub(super) async fn changed(&self, counter: &Counter) -> Result<Cursor<RawDocumentBuf>, Error> {
        let field = counter.subject;
        let pipeline = [
            doc! { "$sort": { field: 1, "_id": 1 } },
            doc! { "$group": { "_id": format!("${field}"), "first": { "$first": "$_id" } } },
        ];
        self.connection.bounded(self.intents(counter).aggregate(pipeline).with_type()).await
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
