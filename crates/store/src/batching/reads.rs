//! Look-ups that come at the same time, asked for together.
//!
//! Every request of a signed-in user begins with a look-up by `_id`, a channel's profile asks for the pair too, and under load the
//! round trip costs the driver and the server far more than the document. So a look-up that comes while others are under way goes
//! with the next query. None waits for company: when nothing is under way it is sent at once. And none is answered by a query that
//! was sent before it came, so it sees all that was written before.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::channels;
use crate::connection::Documents;
use crate::users::without_secrets;

/// Queries of one kind under way at a time. Two, so that one whose connection hangs does not hold up everybody.
const QUERIES: usize = 2;
/// Look-ups in one query.
const LARGEST: usize = 64;

type Found<T> = Result<T, mongodb::error::Error>;

/// A kind of look-up: of which key there is at most one document.
struct Kind<K> {
    documents: Documents,
    filter: fn(&[K]) -> Document,
    projection: fn() -> Document,
    /// The key of a document that was found.
    key: fn(&RawDocument) -> Option<K>,
}

/// Where look-ups of one kind are handed in.
#[derive(Clone)]
pub(crate) struct LookUps<K>(mpsc::UnboundedSender<LookUp<K>>);

/// Of one document, or of several that are wanted in one query.
struct LookUp<K> {
    keys: Vec<K>,
    /// Takes as many as there are keys, in their order.
    reply: oneshot::Sender<Found<Vec<Option<RawDocumentBuf>>>>,
}

/// A subscriber and a channel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pair {
    pub subscriber: ObjectId,
    pub channel: ObjectId,
}

/// All kinds.
#[derive(Clone)]
pub(crate) struct BatchedReads {
    /// Users by id, without secrets.
    pub users: LookUps<ObjectId>,
    /// Readers and channels of profiles by id: of each what is needed of either.
    pub profiles: LookUps<ObjectId>,
    /// What a profile shows of the user with a username, as it is stored.
    pub channels: LookUps<String>,
    /// Subscriptions, of which only the pair is read.
    pub subscriptions: LookUps<Pair>,
}

impl BatchedReads {
    /// Begins to take them. Ends when nobody can hand one in any more.
    pub(crate) fn start(users: Documents, subscriptions: Documents) -> Self {
        Self {
            users: LookUps::start(Kind {
                documents: users.clone(),
                filter: |ids| doc! { "_id": one_of(ids.iter().copied()) },
                projection: without_secrets,
                key: |user| user.get_object_id("_id").ok(),
            }),
            profiles: LookUps::start(Kind {
                documents: users.clone(),
                filter: |ids| doc! { "_id": one_of(ids.iter().copied()) },
                projection: channels::profile::of_either,
                key: |user| user.get_object_id("_id").ok(),
            }),
            channels: LookUps::start(Kind {
                documents: users,
                filter: |names| doc! { "username": one_of(names.iter().map(String::as_str)) },
                projection: channels::shown,
                key: |user| Some(user.get_str("username").ok()?.to_owned()),
            }),
            subscriptions: LookUps::start(Kind {
                documents: subscriptions,
                filter: any_pair,
                projection: || doc! { "_id": 0, "subscriber": 1, "channel": 1 },
                key: |subscription| {
                    let id = |field| subscription.get_object_id(field).ok();
                    Some(Pair { subscriber: id("subscriber")?, channel: id("channel")? })
                },
            }),
        }
    }
}

/// What an equal field is compared with. A single value is not made a list, for which the server would make a plan anew.
fn one_of<T: Into<Bson>>(values: impl ExactSizeIterator<Item = T>) -> Bson {
    let mut values: Vec<Bson> = values.map(Into::into).collect();
    match values.len() {
        1 => values.remove(0),
        _ => doc! { "$in": values }.into(),
    }
}

/// Pairs, by channel: of every one the server steps through its subscribers that are asked for and no others.
fn any_pair(pairs: &[Pair]) -> Document {
    let mut channels: BTreeMap<ObjectId, Vec<ObjectId>> = BTreeMap::new();
    for pair in pairs {
        channels.entry(pair.channel).or_default().push(pair.subscriber);
    }
    let mut filters: Vec<Document> = channels
        .into_iter()
        .map(|(channel, subscribers)| doc! { "subscriber": one_of(subscribers.into_iter()), "channel": channel })
        .collect();
    match filters.len() {
        1 => filters.remove(0),
        _ => doc! { "$or": filters },
    }
}

impl<K: Clone + Ord + Hash + Send + Sync + 'static> LookUps<K> {
    fn start(kind: Kind<K>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(kind, receiver));
        Self(sender)
    }

    /// The documents with these keys, in their order. `None` from the outer option: the program is ending.
    pub(crate) async fn find(&self, keys: Vec<K>) -> Option<Found<Vec<Option<RawDocumentBuf>>>> {
        let (reply, found) = oneshot::channel();
        self.0.send(LookUp { keys, reply }).ok()?;
        found.await.ok()
    }
}

async fn run<K>(kind: Kind<K>, mut waiting: mpsc::UnboundedReceiver<LookUp<K>>)
where
    K: Clone + Ord + Hash + Send + Sync + 'static,
{
    let kind = Arc::new(kind);
    let places = Arc::new(Semaphore::new(QUERIES));
    loop {
        // First a place and then who waits: whoever comes until there is one goes along. The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let mut batch = Vec::new();
        if waiting.recv_many(&mut batch, LARGEST).await == 0 {
            return;
        }
        let kind = kind.clone();
        tokio::spawn(async move {
            kind.answer(batch).await;
            drop(place);
        });
    }
}

impl<K: Clone + Ord + Hash> Kind<K> {
    async fn answer(&self, mut batch: Vec<LookUp<K>>) {
        // Those who have gone need no answer.
        batch.retain(|look_up| !look_up.reply.is_closed());
        let mut keys: Vec<K> = batch.iter().flat_map(|look_up| look_up.keys.iter().cloned()).collect();
        keys.sort_unstable();
        keys.dedup();
        match self.find(&keys).await {
            Ok(found) => {
                for LookUp { keys, reply } in batch {
                    let _ = reply.send(Ok(keys.iter().map(|key| found.get(key).cloned()).collect()));
                }
            }
            Err(error) => {
                for LookUp { reply, .. } in batch {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    async fn find(&self, keys: &[K]) -> Found<HashMap<K, RawDocumentBuf>> {
        let filter = (self.filter)(keys);
        let projection = (self.projection)();
        let found = match keys {
            [] => return Ok(HashMap::new()),
            [_] => self.documents.find_one(filter).projection(projection).await?.into_iter().collect(),
            _ => {
                let size = u32::try_from(keys.len()).unwrap_or(u32::MAX);
                // One more than there can be, so that the server closes the cursor with the first batch.
                let found =
                    self.documents.find(filter).projection(projection).batch_size(size.saturating_add(1)).await?;
                found.try_collect::<Vec<RawDocumentBuf>>().await?
            }
        };
        Ok(found.into_iter().filter_map(|document| Some(((self.key)(&document)?, document))).collect())
    }
}
