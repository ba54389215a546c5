//! What is counted of a user: subscribers, and channels subscribed to. docs/counters.md explains them.

mod reconcile;
pub(crate) mod recount;

use std::collections::HashSet;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::{Job, JobId, RecomputeChannel, UserId};
use serde::Deserialize;

use crate::codec::encode;
use crate::connection::{Connection, Documents};
use crate::error::duplicate_key;
use crate::indexes::{Wanted, plain};
use crate::jobs::{Jobs, Subject};
use crate::users::Users;
use crate::{Error, JobRecord};

pub use reconcile::{Checked, Drift};
pub use recount::Recount;

/// Channels that are looked up at once.
const BATCH: usize = 1000;
/// Intents that one transaction deletes. More are there only after hours without a worker.
const INTENTS_AT_ONCE: u64 = 20_000;

/// How soon a channel may be counted again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// At the earliest so long after the last time.
    pub pause: Duration,
    /// And, of a channel that is not counted in a moment, so many times as long as all of that took: with 20 it costs at most a
    /// twentieth of a core. Where counting alone, so many times, fits into the pause, only what has changed costs anything, and
    /// that would on any day.
    pub times_cost: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { pause: Duration::from_millis(1500), times_cost: 20 }
    }
}

/// The numbers of a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// How many subscribe to the user.
    pub subscribers_count: i64,
    /// How many the user subscribes to.
    pub channels_subscribed_to_count: i64,
}

/// Counts what the subscriptions know about the users that `users` selects. Each `$lookup` ends in `$count`, so the server
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

/// Counts that are stored.
#[derive(Debug, Clone)]
pub struct Counters {
    pub(crate) connection: Connection,
    jobs: Jobs,
    users: Users,
    /// Changes that no stored count has in it yet.
    pub(crate) intents: Documents,
}

impl Counters {
    pub(crate) fn new(jobs: &Jobs, users: &Users) -> Self {
        Self {
            connection: jobs.connection.clone(),
            jobs: jobs.clone(),
            users: users.clone(),
            intents: jobs.connection.collection("subscription_intents"),
        }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        let indexes = [plain(doc! { "channel": 1, "_id": 1 }), plain(doc! { "subscriber": 1, "channel": 1 })];
        indexes.map(|index| (self.intents.clone(), index)).into()
    }

    /// Keeps the transaction that follows the count small when very many changes wait. What is deleted here is older than the
    /// count that follows, and what stays keeps the channel due should that never be made.
    pub(crate) async fn thin_out_intents(&self, channel: ObjectId) -> Result<(), Error> {
        loop {
            let of_channel = doc! { "channel": channel };
            let waiting = self.intents.count_documents(of_channel.clone()).limit(2 * INTENTS_AT_ONCE);
            if self.connection.bounded(waiting).await? < 2 * INTENTS_AT_ONCE {
                return Ok(());
            }
            let bound = self.intents.find_one(of_channel).sort(doc! { "channel": 1, "_id": 1 }).skip(INTENTS_AT_ONCE);
            let Some(bound) = self.connection.bounded(bound).await? else { return Ok(()) };
            let bound =
                bound.get_object_id("_id").map_err(|cause| Error::Database(mongodb::error::Error::custom(cause)))?;
            let oldest = self.intents.delete_many(doc! { "channel": channel, "_id": { "$lt": bound } });
            self.connection.bounded(oldest).await?;
        }
    }

    /// Channels with changes that are not counted yet, which nobody counts and whose pause is over.
    pub async fn due(&self) -> Result<Vec<UserId>, Error> {
        let distinct = self.connection.bounded(self.intents.distinct("channel", doc! {})).await?;
        let changed: Vec<ObjectId> = distinct.iter().filter_map(Bson::as_object_id).collect();
        let mut due = Vec::new();
        for batch in changed.chunks(BATCH) {
            let counting = doc! { "channel": { "$in": batch }, "dueAt": { "$exists": true } };
            let mut others = self.ids(&self.jobs.documents, counting, "channel").await?;
            let pausing = doc! {
                "_id": { "$in": batch },
                "$expr": { "$gt": ["$steep.aggregates.nextAt", "$$NOW"] },
            };
            others.extend(self.ids(&self.users.documents, pausing, "_id").await?);
            due.extend(batch.iter().filter(|id| !others.contains(id)).map(|id| UserId::from_bytes(id.bytes())));
        }
        Ok(due)
    }

    /// Submits the job that counts a channel. `None`: one waits or runs already.
    pub async fn request(&self, channel: UserId) -> Result<Option<JobRecord>, Error> {
        let job = Job::RecomputeChannel(RecomputeChannel { channel });
        let subject = Subject { channel: Some(channel), ..Subject::default() };
        let job = self.jobs.new_job(JobId::new(), &job, subject, None);
        match self.connection.bounded(self.jobs.documents.insert_one(encode(&job)?)).await {
            Ok(_) => Ok(Some(job.into())),
            Err(Error::Database(cause)) if duplicate_key(&cause).is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The values of a field of documents, all of them ids.
    async fn ids(
        &self,
        documents: &Documents,
        filter: Document,
        field: &'static str,
    ) -> Result<HashSet<ObjectId>, Error> {
        let found = documents.find(filter).projection(doc! { field: 1 });
        let found: Vec<RawDocumentBuf> = self.connection.bounded(async { found.await?.try_collect().await }).await?;
        Ok(found.iter().filter_map(|document| document.get_object_id(field).ok()).collect())
    }
}

pub(crate) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}
