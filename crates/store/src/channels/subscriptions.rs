//! Subscriptions: who subscribes to whom, and the trace that every change leaves for the counts.
//!
//! A change is one transaction of three writes: the subscription itself, an intent to count the channel anew, and the
//! subscriber's own document. None of them is shared with other subscribers of the channel, so a channel that thousands
//! subscribe to at once costs each of them what a quiet one does.

use std::collections::BTreeMap;

use bson::oid::ObjectId;
use bson::{DateTime, Document, RawDocument, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::UserId;
use mongodb::ClientSession;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Channels;
use super::subscribers::SUBSCRIBERS;
use crate::Error;
use crate::batching::{Lookup, one_of};
use crate::codec::{decode, encode, object_id};
use crate::connection::Documents;
use crate::counters::CounterKey;

/// Changes that a subscriber's document remembers, one a channel.
const CHANGES_KEPT: i32 = 20;

/// What a subscriber wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To subscribe if they do not, else to unsubscribe.
    Toggle,
    /// To be subscribed, whatever was before.
    Subscribed,
    /// Not to be subscribed, whatever was before.
    Unsubscribed,
}

/// What came of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub subscribed: bool,
    /// Whether that is news.
    pub changed: bool,
}

/// One entry of a list of subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The subscription's id, 24 hexadecimal digits. Newer ones are greater.
    pub id: String,
    pub subscriber: UserId,
    pub channel: UserId,
    /// When it began; of an adopted one without that field, when its id was made.
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// A part of a list of subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionPage {
    /// Newest first.
    pub items: Vec<Subscription>,
    /// Where the next part begins, if there is more.
    pub next: Option<[u8; 12]>,
}

/// Whose subscriptions to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    SubscribersOf(UserId),
    ChannelsOf(UserId),
}

/// A subscription as it stands in the database, ours or adopted.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionDocument {
    #[serde(rename = "_id")]
    id: ObjectId,
    subscriber: ObjectId,
    channel: ObjectId,
    created_at: Option<DateTime>,
    updated_at: Option<DateTime>,
}

/// A subscriber and a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pair {
    pub subscriber: ObjectId,
    pub channel: ObjectId,
}

struct Change {
    subscriber: ObjectId,
    channel: ObjectId,
    wish: Wish,
}

impl Change {
    fn pair(&self) -> Document {
        doc! { "subscriber": self.subscriber, "channel": self.channel }
    }
}

impl From<SubscriptionDocument> for Subscription {
    fn from(found: SubscriptionDocument) -> Self {
        let created_at = found.created_at.unwrap_or_else(|| found.id.timestamp());
        Self {
            id: found.id.to_hex(),
            subscriber: UserId::from_bytes(found.subscriber.bytes()),
            channel: UserId::from_bytes(found.channel.bytes()),
            created_at: created_at.into(),
            updated_at: found.updated_at.unwrap_or(created_at).into(),
        }
    }
}

/// An adopted one may have anything in its place.
fn readable(found: &RawDocument) -> Option<Subscription> {
    match decode::<SubscriptionDocument>("subscription", found) {
        Ok(found) => Some(found.into()),
        Err(cause) => {
            tracing::debug!(%cause, "leaving a malformed subscription out of a list");
            None
        }
    }
}

impl Channels {
    /// Subscribes a user to a channel, or unsubscribes them. Of any number of calls for one pair at once each sees what the
    /// one before has left, so that an even number of toggles changes nothing. That the two differ is for the caller to see to.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] naming `channel` or `user`; [`Error::Unavailable`] or [`Error::Database`]: nothing was changed.
    /// [`Error::Unknown`]: it may have been.
    pub async fn subscribe(&self, subscriber: UserId, channel: UserId, wish: Wish) -> Result<Standing, Error> {
        let mut change =
            Change { subscriber: object_id(subscriber.bytes()), channel: object_id(channel.bytes()), wish };
        if !self.users.exists(channel).await? {
            return Err(Error::NotFound { what: "channel" });
        }
        self.connection
            .transaction(self, &mut change, |channels, session, change| Box::pin(channels.change(session, change)))
            .await
    }

    /// Subscriptions, newest first, at most `limit`; those older than the one with the id `before`, which is
    /// [`SubscriptionPage::next`] of the part before.
    pub async fn subscriptions(
        &self,
        of: Listed,
        before: Option<[u8; 12]>,
        limit: u32,
    ) -> Result<SubscriptionPage, Error> {
        let mut filter = match of {
            Listed::SubscribersOf(channel) => doc! { "channel": object_id(channel.bytes()) },
            Listed::ChannelsOf(subscriber) => doc! { "subscriber": object_id(subscriber.bytes()) },
        };
        if let Some(before) = before {
            filter.insert("_id", doc! { "$lt": ObjectId::from_bytes(before) });
        }
        let query = self.subscriptions.find(filter).sort(doc! { "_id": -1 }).limit(i64::from(limit) + 1);
        let mut found: Vec<RawDocumentBuf> =
            self.connection.bounded(async { query.await?.try_collect().await }).await?;
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let last = found.last().and_then(|last| last.get_object_id("_id").ok());
        let next = last.filter(|_| has_more).map(|id| id.bytes());
        Ok(SubscriptionPage { items: found.iter().filter_map(|found| readable(found)).collect(), next })
    }

    async fn change(&self, session: &mut ClientSession, change: &Change) -> Result<Standing, Error> {
        let subscribed = match change.wish {
            Wish::Toggle => !self.remove(session, change).await?,
            Wish::Subscribed => {
                let pair = self.subscriptions.find_one(change.pair()).projection(doc! { "_id": 1 });
                if pair.session(&mut *session).await?.is_some() {
                    return Ok(Standing { subscribed: true, changed: false });
                }
                true
            }
            Wish::Unsubscribed => {
                if !self.remove(session, change).await? {
                    return Ok(Standing { subscribed: false, changed: false });
                }
                false
            }
        };
        if subscribed {
            let now = Some(DateTime::now());
            let document = encode(&SubscriptionDocument {
                id: ObjectId::new(),
                subscriber: change.subscriber,
                channel: change.channel,
                created_at: now,
                updated_at: now,
            })?;
            self.subscriptions.insert_one(document).session(&mut *session).await?;
        }
        let by = if subscribed { 1 } else { -1 };
        let counter = CounterKey { counter: &SUBSCRIBERS, subject: change.channel };
        self.counters.intend(&mut *session, &counter, by, doc! { "subscriber": change.subscriber }).await?;
        let noted = self
            .users
            .documents
            .update_one(doc! { "_id": change.subscriber }, note(change.channel, by))
            .session(&mut *session)
            .await?;
        if noted.matched_count == 0 {
            return Err(Error::NotFound { what: "user" });
        }
        Ok(Standing { subscribed, changed: true })
    }

    /// Deletes the subscription, of an adopted pair that stands there twice both.
    async fn remove(&self, session: &mut ClientSession, change: &Change) -> Result<bool, Error> {
        Ok(self.subscriptions.delete_many(change.pair()).session(session).await?.deleted_count > 0)
    }
}

/// What the subscriber's own document learns: the number of channels, exact at once, and the change itself, so that the
/// subscriber sees it in the channel's count before that is computed anew.
///
/// It also makes two changes of one subscriber meet, so that a pair is never there twice, not even while adopted duplicates
/// keep the unique index from being built.
fn note(channel: ObjectId, by: i32) -> Vec<Document> {
    const COUNT: &str = "$steep.aggregates.channelsSubscribedToCount";
    const CHANGES: &str = "$steep.changes";
    let remembered = doc! { "$filter": {
        "input": { "$cond": [{ "$isArray": CHANGES }, CHANGES, []] },
        "cond": { "$ne": ["$$this.channel", channel] },
    } };
    let change = doc! { "channel": channel, "by": by, "at": "$$NOW" };
    vec![doc! { "$set": {
        // Of an adopted user nothing is counted yet; who counts it meets this very write.
        "steep.aggregates.channelsSubscribedToCount":
            { "$cond": [{ "$isNumber": COUNT }, { "$add": [COUNT, by] }, "$$REMOVE"] },
        "steep.changes": { "$slice": [{ "$concatArrays": [[change], remembered] }, CHANGES_KEPT] },
    } }]
}

/// How subscriptions are looked up, of which only the pair is read.
pub(super) fn by_pair(subscriptions: &Documents) -> Lookup<Pair> {
    Lookup {
        documents: subscriptions.clone(),
        filter: any_pair,
        projection: || doc! { "_id": 0, "subscriber": 1, "channel": 1 },
        key: |subscription| {
            let id = |field| subscription.get_object_id(field).ok();
            Some(Pair { subscriber: id("subscriber")?, channel: id("channel")? })
        },
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
