//! Subscriptions: who subscribes to whom, and the trace that every change leaves for the counts.
//!
//! A change is one transaction of three writes: the subscription itself, an intent to count the channel anew, and the
//! subscriber's own document. None of them is shared with other subscribers of the channel, so a channel that thousands
//! subscribe to at once costs each of them what a quiet one does.

use std::collections::BTreeMap;

use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use messages::UserId;
use mongodb::ClientSession;
use serde::Deserialize;
use serde_with::serde_as;
use time::OffsetDateTime;

use super::Channels;
use super::position::{Created, Position};
use super::subscribers::SUBSCRIBERS;
use crate::Error;
use crate::batching::{Brings, Lookup, one_of};
use crate::codec::{UserObjectId, decode_entry, encode, object_id};
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
    /// The subscription's id, 24 hexadecimal digits. It is made by the clock of an api, so it does not tell what is newer.
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
    /// Newest first by MongoDB's clock; adopted ones without a time are the last.
    pub items: Vec<Subscription>,
    /// Where the next part begins, if there is more.
    pub next: Option<Position>,
}

/// Whose subscriptions to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    SubscribersOf(UserId),
    ChannelsOf(UserId),
}

/// A subscription as it stands in the database, ours or adopted.
#[serde_as]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionDocument {
    #[serde(rename = "_id")]
    id: ObjectId,
    #[serde_as(as = "UserObjectId")]
    subscriber: UserId,
    #[serde_as(as = "UserObjectId")]
    channel: UserId,
    created_at: Option<DateTime>,
    updated_at: Option<DateTime>,
}

/// A subscriber and a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pair {
    pub subscriber: ObjectId,
    pub channel: ObjectId,
}

impl Channels {
    /// Subscribes a user to a channel, or unsubscribes them. Of any number of calls for one pair at once each sees what the
    /// one before has left, so that an even number of toggles changes nothing. That the two differ is for the caller to see to.
    /// [`Error::NotFound`] names `channel` or `user`.
    pub async fn subscribe(&self, subscriber: UserId, channel: UserId, wish: Wish) -> Result<Standing, Error> {
        if !self.users.exists(channel).await? {
            return Err(Error::NotFound { what: "channel" });
        }
        let pair = Pair { subscriber: object_id(subscriber.bytes()), channel: object_id(channel.bytes()) };
        self.connection
            .transaction(self, &mut (pair, wish), |channels, session, (pair, wish)| {
                Box::pin(channels.change(session, *pair, *wish))
            })
            .await
    }

    /// Subscriptions, newest first, at most `limit`; those `after` [`SubscriptionPage::next`] of the part before.
    pub async fn subscriptions(
        &self,
        of: Listed,
        after: Option<Position>,
        limit: u32,
    ) -> Result<SubscriptionPage, Error> {
        let mut filter = match of {
            Listed::SubscribersOf(channel) => doc! { "channel": object_id(channel.bytes()) },
            Listed::ChannelsOf(subscriber) => doc! { "subscriber": object_id(subscriber.bytes()) },
        };
        if let Some(after) = after {
            filter.extend(self.known(after).await?.after());
        }
        let newest_first = doc! { "createdAt": -1, "_id": -1 };
        let query = self.subscriptions.find(filter).sort(newest_first).limit(i64::from(limit) + 1);
        let mut found = self.connection.collect(query).await?;
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| has_more).map(|last| Position::of(last));
        let items = found.iter().filter_map(|found| decode_entry("subscription", found));
        let items = items.map(|SubscriptionDocument { id, subscriber, channel, created_at, updated_at }| {
            let created_at = created_at.unwrap_or_else(|| id.timestamp());
            let updated_at = updated_at.unwrap_or(created_at).into();
            Subscription { id: id.to_hex(), subscriber, channel, created_at: created_at.into(), updated_at }
        });
        Ok(SubscriptionPage { items: items.collect(), next })
    }

    /// A position with the time of its entry, unless that is gone.
    async fn known(&self, position: Position) -> Result<Position, Error> {
        if position.created != Created::Unknown {
            return Ok(position);
        }
        let entry = self.subscriptions.find_one(doc! { "_id": position.id }).projection(doc! { "createdAt": 1 });
        let entry = self.connection.bounded(entry).await?;
        Ok(entry.map_or(position, |entry| Position::of(&entry)))
    }

    async fn change(&self, session: &mut ClientSession, pair: Pair, wish: Wish) -> Result<Standing, Error> {
        let Pair { subscriber, channel } = pair;
        let filter = doc! { "subscriber": subscriber, "channel": channel };
        let was_subscribed = match wish {
            Wish::Subscribed => {
                let found = self.subscriptions.find_one(filter).projection(doc! { "_id": 1 });
                found.session(&mut *session).await?.is_some()
            }
            // Of an adopted pair that stands there twice both go.
            Wish::Toggle | Wish::Unsubscribed => {
                self.subscriptions.delete_many(filter).session(&mut *session).await?.deleted_count > 0
            }
        };
        let subscribed = match wish {
            Wish::Toggle => !was_subscribed,
            Wish::Subscribed => true,
            Wish::Unsubscribed => false,
        };
        if subscribed == was_subscribed {
            return Ok(Standing { subscribed, changed: false });
        }
        if subscribed {
            let now = self.connection.now().await?;
            let document = doc! {
                "_id": ObjectId::new(),
                "subscriber": subscriber,
                "channel": channel,
                "createdAt": now,
                "updatedAt": now,
            };
            self.subscriptions.insert_one(encode(&document)?).session(&mut *session).await?;
        }
        let by = if subscribed { 1 } else { -1 };
        let counter = CounterKey { counter: &SUBSCRIBERS, subject: channel };
        self.counters.intend(&mut *session, &counter, by, doc! { "subscriber": subscriber }).await?;
        let noted = self.users.documents.update_one(doc! { "_id": subscriber }, note(channel, by));
        if noted.session(session).await?.matched_count == 0 {
            return Err(Error::NotFound { what: "user" });
        }
        Ok(Standing { subscribed, changed: true })
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
        brings: Brings::Documents(|| doc! { "_id": 0, "subscriber": 1, "channel": 1 }),
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
