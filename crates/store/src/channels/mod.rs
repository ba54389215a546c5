//! Channels and who subscribes to them.

mod position;
mod profile;
pub(crate) mod subscribers;
mod subscriptions;

use std::sync::Arc;

use bson::oid::ObjectId;
use bson::{Document, doc};
use moka::sync::Cache;
use mongodb::IndexModel;

use crate::batching::{BatchedReads, Brings, Lookup, one_of};
use crate::connection::{Connection, Documents};
use crate::counters::Counters;
use crate::indexes::{Wanted, plain, unique};
use crate::users::{Users, by_id};

pub use position::Position;
pub use profile::{Channel, Profile};
pub use subscribers::{Counts, subscribers};
use subscriptions::Pair;
pub use subscriptions::{Listed, Standing, Subscription, SubscriptionPage, Wish};

/// Usernames that are remembered: those that are asked for most. They take two or three megabytes.
const USERNAMES: u64 = 10_000;

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
    /// Who had a username when it was looked up last, so that the next profile asks for reader and channel at once. A hint:
    /// whoever follows it looks whether that user has the name still.
    usernames: Cache<Arc<str>, ObjectId>,
}

impl Channels {
    pub(crate) fn new(users: &Users, counters: &Counters) -> Self {
        let connection = &users.connection;
        let subscriptions = connection.collection("subscriptions");
        let of_either = || {
            let mut fields = shown();
            fields.extend(doc! { "steep.sessions": 1, "steep.changes": 1 });
            fields
        };
        let by_name = Lookup {
            documents: users.documents.clone(),
            filter: |names| doc! { "username": one_of(names.iter().map(String::as_str)) },
            brings: Brings::Documents(shown),
            key: |user| Some(user.get_str("username").ok()?.to_owned()),
        };
        Self {
            connection: connection.clone(),
            users: users.clone(),
            counters: counters.clone(),
            intents: connection.collection("subscription_intents"),
            profiles: BatchedReads::start(connection, by_id(&users.documents, of_either)),
            by_name: BatchedReads::start(connection, by_name),
            pairs: BatchedReads::start(connection, subscriptions::by_pair(&subscriptions)),
            subscriptions,
            usernames: Cache::new(USERNAMES),
        }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        vec![
            (self.intents.clone(), plain(doc! { "subscriber": 1, "channel": 1 })),
            (self.subscriptions.clone(), plain(doc! { "channel": 1, "createdAt": -1, "_id": -1 })),
            (self.subscriptions.clone(), plain(doc! { "subscriber": 1, "createdAt": -1, "_id": -1 })),
            // Left out while adopted pairs are there twice; the adoption makes it then.
            (self.subscriptions.clone(), one_subscription_a_pair()),
        ]
    }
}

/// Who subscribes to whom, once.
pub(crate) fn one_subscription_a_pair() -> IndexModel {
    unique(doc! { "subscriber": 1, "channel": 1 })
}

/// What of a user a channel's profile shows. A watch history may be long.
fn shown() -> Document {
    doc! { "username": 1, "email": 1, "fullName": 1, "avatar": 1, "coverImage": 1, "createdAt": 1, "updatedAt": 1,
    "steep.avatar": 1, "steep.coverImage": 1, "steep.aggregates": 1 }
}
