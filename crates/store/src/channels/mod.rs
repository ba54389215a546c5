//! A channel as one of its readers sees it: two look-ups by index, however many subscribe to it.

mod profile;
pub(crate) mod subscribers;
mod subscriptions;
mod username_cache;

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{DateTime, Document, RawDocument, doc};
use futures_util::TryStreamExt;
use messages::UserId;
use mongodb::{ClientSession, IndexModel};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::batching::{BatchedReads, Lookup, one_of};
use crate::codec::{decode, object_id};
use crate::connection::{Connection, Documents};
use crate::counters::Counters;
use crate::indexes::{Wanted, plain, unique};
use crate::users::document::UserDocument;
use crate::users::{Users, spelled};
use crate::{Error, User};

pub use profile::Profile;
use subscribers::counting;
pub use subscribers::{Counts, subscribers};
use subscriptions::Pair;
use username_cache::UsernameCache;

pub use subscriptions::{Listed, Standing, Subscription, SubscriptionPage, Wish};

/// How long a transaction may last: a change that began so long ago and is counted by nobody's telling is counted.
const TRANSACTION: Duration = Duration::from_secs(60);

/// A channel's profile for one reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The user behind it. The watch history is left out.
    pub user: User,
    /// Its numbers, with the reader's own changes in them.
    pub counts: Counts,
    pub is_subscribed: bool,
}

/// A subscriber's own change, as their document remembers it.
#[derive(Deserialize)]
pub(crate) struct RecentChange {
    channel: ObjectId,
    /// 1 or -1.
    by: i32,
    at: DateTime,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AggregatesDocument {
    subscribers_count: Option<i64>,
    channels_subscribed_to_count: Option<i64>,
    computed_at: Option<DateTime>,
}

/// Who looks at a channel.
pub(crate) struct Reader {
    pub id: UserId,
    /// The latest first, one a channel.
    pub changes: Vec<RecentChange>,
}

/// Numbers as they are stored; none of a user whom nobody has counted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredCounts {
    pub counts: Counts,
    pub computed_at: OffsetDateTime,
}

/// The part of a user's document that holds what is counted.
#[derive(Deserialize)]
struct CountedDocument {
    steep: Option<CountedSteep>,
}

#[derive(Deserialize)]
struct CountedSteep {
    aggregates: Option<AggregatesDocument>,
}

/// What is stored of a user's counts.
fn stored_counts(user: &RawDocument) -> Result<Option<StoredCounts>, Error> {
    let user: CountedDocument = decode("user", user)?;
    Ok(user.steep.and_then(|steep| steep.aggregates).and_then(|aggregates| aggregates.read()))
}

impl AggregatesDocument {
    pub(crate) fn read(&self) -> Option<StoredCounts> {
        Some(StoredCounts {
            counts: Counts {
                subscribers_count: self.subscribers_count?,
                channels_subscribed_to_count: self.channels_subscribed_to_count?,
            },
            computed_at: self.computed_at?.into(),
        })
    }
}

/// The change of a reader that may not be in the stored number yet. Every other one is in it for certain, or too long ago to
/// be remembered.
pub(crate) fn own_change(reader: &Reader, channel: UserId, stored: Option<StoredCounts>) -> Option<&RecentChange> {
    // Who is counted at this moment is counted with everything.
    let computed_at = stored?.computed_at;
    let channel = object_id(channel.bytes());
    let change = reader.changes.iter().find(|change| change.channel == channel)?;
    let at = OffsetDateTime::from(change.at);
    (at > computed_at || OffsetDateTime::now_utc() - at < TRANSACTION).then_some(change)
}

/// Channels and subscriptions.
#[derive(Debug, Clone)]
pub struct Channels {
    pub(crate) connection: Connection,
    pub(crate) users: Users,
    counters: Counters,
    /// Changes that no stored count has in it yet.
    pub(crate) intents: Documents,
    pub(crate) subscriptions: Documents,
    /// Readers and channels of profiles: of each what is needed of either.
    profiles: BatchedReads<ObjectId>,
    /// What a profile shows of the user with a username, as it is stored.
    by_name: BatchedReads<String>,
    /// Subscriptions, of which only the pair is read.
    pairs: BatchedReads<Pair>,
    usernames: UsernameCache,
}

impl Channels {
    pub(crate) fn new(users: &Users, counters: &Counters) -> Self {
        let connection = &users.connection;
        let subscriptions = connection.collection("subscriptions");
        let profiles = Lookup {
            documents: users.documents.clone(),
            filter: |ids| doc! { "_id": one_of(ids.iter().copied()) },
            projection: profile::of_either,
            key: |user| user.get_object_id("_id").ok(),
        };
        let by_name = Lookup {
            documents: users.documents.clone(),
            filter: |names| doc! { "username": one_of(names.iter().map(String::as_str)) },
            projection: shown,
            key: |user: &RawDocument| Some(user.get_str("username").ok()?.to_owned()),
        };
        Self {
            connection: connection.clone(),
            users: users.clone(),
            counters: counters.clone(),
            intents: connection.collection("subscription_intents"),
            profiles: BatchedReads::start(connection, profiles),
            by_name: BatchedReads::start(connection, by_name),
            pairs: BatchedReads::start(connection, subscriptions::by_pair(&subscriptions)),
            subscriptions,
            usernames: UsernameCache::default(),
        }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        // The last one is left out while adopted pairs are there twice; the adoption makes it then.
        let indexes = [
            plain(doc! { "channel": 1, "_id": -1 }),
            plain(doc! { "subscriber": 1, "_id": -1 }),
            one_subscription_a_pair(),
        ];
        let pair = (self.intents.clone(), plain(doc! { "subscriber": 1, "channel": 1 }));
        let of_subscriptions = indexes.map(|index| (self.subscriptions.clone(), index));
        [pair].into_iter().chain(of_subscriptions).collect()
    }

    /// The channel of a [name](name_of) as a reader sees it: the stored numbers, whether the reader is subscribed, and in the
    /// number of subscribers what the reader has changed since it was counted.
    pub(crate) async fn channel_for(&self, username: &str, reader: &Reader) -> Result<Option<Channel>, Error> {
        if reader.changes.is_empty() {
            return self.channel_at(username, reader, None).await;
        }
        // A number and what is not yet in it have to be of one moment, or a recompute in between would count a change twice.
        let session = self.connection.moment().await?;
        match self.channel_at(username, reader, Some(session)).await {
            // The server has no such moment of a collection that was made just now.
            Err(Error::Unavailable(_) | Error::Database(_)) => self.channel_at(username, reader, None).await,
            found => found,
        }
    }

    async fn channel_at(
        &self,
        username: &str,
        reader: &Reader,
        mut session: Option<ClientSession>,
    ) -> Result<Option<Channel>, Error> {
        let mut found = None;
        for spelling in spelled(username) {
            found = match &mut session {
                Some(session) => {
                    let query = self.users.documents.find_one(doc! { "username": spelling }).projection(shown());
                    self.connection.bounded(query.session(session)).await?
                }
                None => self.by_name.one(spelling).await?,
            };
            if found.is_some() {
                break;
            }
        }
        let Some(found) = found else { return Ok(None) };
        let stored = stored_counts(&found)?;
        let user = User::from(decode::<UserDocument>("user", &found)?);
        self.usernames.found(username, object_id(user.id.bytes()));

        let (is_subscribed, own) = match own_change(reader, user.id, stored) {
            Some(change) => (change.by > 0, self.uncounted(reader.id, change, session.as_mut()).await?),
            None => (self.is_subscribed(reader.id, user.id).await?, 0),
        };
        let mut counts = match stored {
            Some(stored) => stored.counts,
            None => self.count_now(user.id).await?,
        };
        counts.subscribers_count = (counts.subscribers_count + own).max(0);
        Ok(Some(Channel { user, counts, is_subscribed }))
    }

    async fn is_subscribed(&self, subscriber: UserId, channel: UserId) -> Result<bool, Error> {
        let pair = Pair { subscriber: object_id(subscriber.bytes()), channel: object_id(channel.bytes()) };
        Ok(self.pairs.one(pair).await?.is_some())
    }

    /// By how much a subscriber has changed a channel's number since it was counted. One's changes of one channel take turns, so
    /// that two of them are none.
    async fn uncounted(
        &self,
        subscriber: UserId,
        latest: &RecentChange,
        session: Option<&mut ClientSession>,
    ) -> Result<i64, Error> {
        let pair = doc! { "subscriber": object_id(subscriber.bytes()), "channel": latest.channel };
        let mut query = self.intents.count_documents(pair);
        if let Some(session) = session {
            query = query.session(session);
        }
        let is_odd = self.connection.bounded(query).await? % 2 == 1;
        Ok(if is_odd { latest.by.signum().into() } else { 0 })
    }

    /// The numbers of an adopted user whom nobody has counted yet.
    pub(crate) async fn count_now(&self, user: UserId) -> Result<Counts, Error> {
        let pipeline = counting(doc! { "_id": object_id(user.bytes()) });
        let mut counted =
            self.connection.bounded(self.users.documents.aggregate(pipeline).with_type::<Counts>()).await?;
        Ok(self.connection.bounded(counted.try_next()).await?.unwrap_or_default())
    }
}

/// A username as it is asked for, in whichever [spelling](spelled).
pub(crate) fn name_of(username: &str) -> String {
    username.trim().to_lowercase()
}

/// Who subscribes to whom, once.
pub(crate) fn one_subscription_a_pair() -> IndexModel {
    unique(doc! { "subscriber": 1, "channel": 1 })
}

/// What of a user a channel's profile shows. A watch history may be long.
pub(crate) fn shown() -> Document {
    doc! { "username": 1, "email": 1, "fullName": 1, "avatar": 1, "coverImage": 1, "createdAt": 1, "updatedAt": 1,
    "steep.avatar": 1, "steep.coverImage": 1, "steep.aggregates": 1 }
}
