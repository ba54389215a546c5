//! How many subscribe to a channel, and to how many channels its user subscribes: the first counter.

use bson::{Document, doc};
use messages::{Job, RecomputeChannel, UserId};
use serde::Deserialize;

use crate::codec::object_id;
use crate::counters::{Counter, CounterKey, ExactNumber};

/// The numbers of a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub subscribers_count: i64,
    pub channels_subscribed_to_count: i64,
}

/// Subscribers change by intents, since any number of them may come at once. The channels that a user subscribes to change by
/// that user alone, at once.
pub(crate) static SUBSCRIBERS: Counter = Counter {
    name: "subscribers",
    intents: "subscription_intents",
    subject: "channel",
    documents: "users",
    result: "steep.aggregates",
    title: "username",
    number: "subscribersCount",
    exact: Some(ExactNumber { field: "channelsSubscribedToCount", trace: "steep.changes" }),
    recount: counting,
    // Named before there could be a second counter.
    job: Some(|key| Job::RecomputeChannel(RecomputeChannel { channel: UserId::from_bytes(key.subject.bytes()) })),
};

/// The count of a channel's subscribers.
pub fn subscribers(channel: UserId) -> CounterKey {
    CounterKey { counter: &SUBSCRIBERS, subject: object_id(channel.bytes()) }
}

/// Counts what the subscriptions know about the users that a filter selects. Each `$lookup` ends in `$count`, so the server
/// counts keys of an index and never makes a list of a channel's subscribers.
pub(crate) fn counting(users: Document) -> Vec<Document> {
    vec![
        doc! { "$match": users },
        counted("channel", "subscribers"),
        counted("subscriber", "subscriptions"),
        doc! { "$project": {
            "subscribersCount": { "$toLong": { "$ifNull": [{ "$first": "$subscribers.n" }, 0] } },
            "channelsSubscribedToCount": { "$toLong": { "$ifNull": [{ "$first": "$subscriptions.n" }, 0] } },
            "computedAt": "$$NOW",
        } },
    ]
}

fn counted(field: &str, into: &str) -> Document {
    doc! { "$lookup": {
        "from": "subscriptions",
        "localField": "_id",
        "foreignField": field,
        "pipeline": [{ "$count": "n" }],
        "as": into,
    } }
}
