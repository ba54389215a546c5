//! Look-ups that come at the same time, in one query.
//!
//! Under load a round trip costs the driver and the server far more than the document that it brings. So a look-up that comes
//! while others are under way goes with the next query. None is answered by a query that was sent before it came, so it sees all
//! that was written before.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use tokio::sync::{mpsc, oneshot};

use crate::Error;
use crate::connection::{Connection, Documents};

/// Queries of one sort under way at a time. Two, so that one whose connection hangs holds up others for a moment only.
const QUERIES: usize = 2;
/// Look-ups in one query.
const LARGEST: usize = 64;

type Found<T> = Result<T, mongodb::error::Error>;

/// How documents are looked up by a key.
pub(crate) struct Lookup<K> {
    pub documents: Documents,
    pub filter: fn(&[K]) -> Document,
    pub brings: Brings,
    /// The key of what was brought.
    pub key: fn(&RawDocument) -> Option<K>,
}

/// What the server brings of the documents that it finds, at most one for each key.
#[derive(Clone, Copy)]
pub(crate) enum Brings {
    /// What this projection leaves of a document.
    Documents(fn() -> Document),
    /// What this `$group` makes of many.
    Groups(fn() -> Document),
}

/// Documents by a key, each look-up together with others that are wanted at the same time.
#[derive(Debug, Clone)]
pub(crate) struct BatchedReads<K> {
    connection: Connection,
    requests: mpsc::UnboundedSender<Request<K>>,
}

/// Of one document, or of several that are wanted in one query.
struct Request<K> {
    keys: Vec<K>,
    /// Takes as many as there are keys, in their order.
    reply: oneshot::Sender<Found<Vec<Option<RawDocumentBuf>>>>,
}

/// What an equal field is compared with. A single value is not made a list, for which the server would make a plan anew.
pub(crate) fn one_of<T: Into<Bson>>(values: impl ExactSizeIterator<Item = T>) -> Bson {
    let mut values: Vec<Bson> = values.map(Into::into).collect();
    match values.len() {
        1 => values.remove(0),
        _ => doc! { "$in": values }.into(),
    }
}

impl<K: Clone + Ord + Hash + Send + Sync + 'static> BatchedReads<K> {
    /// Begins to take look-ups.
    pub(crate) fn start(connection: &Connection, lookup: Lookup<K>) -> Self {
        let lookup = Arc::new(lookup);
        let requests = super::start(QUERIES, LARGEST, move |batch| lookup.clone().answer(batch));
        Self { connection: connection.clone(), requests }
    }

    pub(crate) async fn one(&self, key: K) -> Result<Option<RawDocumentBuf>, Error> {
        Ok(self.all(vec![key]).await?.pop().flatten())
    }

    /// Several in one query; the documents in the order of their keys.
    pub(crate) async fn all(&self, keys: Vec<K>) -> Result<Vec<Option<RawDocumentBuf>>, Error> {
        let (reply, found) = oneshot::channel();
        let is_taken = self.requests.send(Request { keys, reply }).is_ok();
        let found = self.connection.bounded(async { Ok(if is_taken { found.await.ok() } else { None }) }).await?;
        Ok(found.ok_or_else(|| Error::Unavailable("the program is ending".into()))??)
    }
}

impl<K: Clone + Ord + Hash> Lookup<K> {
    async fn answer(self: Arc<Self>, mut batch: Vec<Request<K>>) {
        // Those who have gone need no answer.
        batch.retain(|request| !request.reply.is_closed());
        let mut keys: Vec<K> = batch.iter().flat_map(|request| request.keys.iter().cloned()).collect();
        keys.sort_unstable();
        keys.dedup();
        match self.find(&keys).await {
            Ok(found) => {
                for Request { keys, reply } in batch {
                    let _ = reply.send(Ok(keys.iter().map(|key| found.get(key).cloned()).collect()));
                }
            }
            Err(error) => {
                for Request { reply, .. } in batch {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    async fn find(&self, keys: &[K]) -> Found<HashMap<K, RawDocumentBuf>> {
        let filter = (self.filter)(keys);
        // One more than there can be, so that the server closes the cursor with the first batch.
        let size = u32::try_from(keys.len()).unwrap_or(u32::MAX).saturating_add(1);
        let found: Vec<RawDocumentBuf> = match (keys, self.brings) {
            ([], _) => return Ok(HashMap::new()),
            ([_], Brings::Documents(projection)) => {
                self.documents.find_one(filter).projection(projection()).await?.into_iter().collect()
            }
            (_, Brings::Documents(projection)) => {
                let found = self.documents.find(filter).projection(projection()).batch_size(size);
                found.await?.try_collect().await?
            }
            (_, Brings::Groups(group)) => {
                let pipeline = [doc! { "$match": filter }, doc! { "$group": group() }];
                let found = self.documents.aggregate(pipeline).batch_size(size).with_type();
                found.await?.try_collect().await?
            }
        };
        Ok(found.into_iter().filter_map(|document| Some(((self.key)(&document)?, document))).collect())
    }
}
