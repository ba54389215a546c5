//! What is counted of a user: subscribers, and channels subscribed to. docs/aggregation.md tells the whole story.

use std::collections::HashSet;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::{Job, JobId, RecomputeChannel, UserId};
use mongodb::ClientSession;
use serde::Deserialize;
use tokio::time::Instant;

use crate::connection::Documents;
use crate::documents::{encode, object_id};
use crate::error::duplicate_key;
use crate::jobs::Subject;
use crate::{Error, JobRecord, JobState, Outcome, Store, transitions};

/// Channels that are looked up at once.
const BATCH: usize = 1000;
/// Intents that one transaction deletes. More are there only after hours without a worker.
const INTENTS_AT_ONCE: u64 = 20_000;

/// How soon a channel may be counted again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// At the earliest so long after the last time.
    pub pause: Duration,
    /// And, of a channel that is not counted in a moment, so many times as long as all of that took: with 15 it costs at most a
    /// sixteenth of a core. Where counting alone, so many times, fits into the pause, only what has changed costs anything, and
    /// that would on any day.
    pub times_cost: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { pause: Duration::from_millis(1500), times_cost: 15 }
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

/// What somebody who registers starts with.
pub(crate) fn of_a_new_user(now: DateTime) -> Document {
    doc! { "subscribersCount": 0_i64, "channelsSubscribedToCount": 0_i64, "computedAt": now }
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

/// Numbers, and when they were true: an instant after the snapshot that they were counted in.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counted {
    #[serde(flatten)]
    pub counts: Counts,
    computed_at: DateTime,
    /// How long counting took.
    #[serde(skip)]
    took: Duration,
}

struct Recompute {
    held: Document,
    channel: ObjectId,
    pace: Pace,
    begun: Instant,
}

impl Store {
    /// Counts a channel, stores the numbers on it, forgets the intents that are in them, and ends the job: all of it, or
    /// nothing. A change that arrives meanwhile leaves its intent, and with it the next recompute.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] (also on a second call), [`Error::Unavailable`], [`Error::Unknown`], [`Error::Corrupt`] or
    /// [`Error::Database`].
    pub async fn complete_recompute(
        &self,
        id: JobId,
        attempt: u32,
        channel: UserId,
        pace: &Pace,
    ) -> Result<Outcome, Error> {
        let mut recompute = Recompute {
            held: transitions::held(id, attempt, JobState::Completed),
            channel: object_id(channel.bytes()),
            pace: pace.clone(),
            begun: Instant::now(),
        };
        self.thin_out_intents(recompute.channel).await?;
        self.transaction(&mut recompute, |store, session, recompute| Box::pin(store.recompute(session, recompute)))
            .await
    }

    async fn recompute(&self, session: &mut ClientSession, recompute: &Recompute) -> Result<Outcome, Error> {
        // First, so that the snapshot is older than what the count calls now.
        let job = self.jobs().find_one(recompute.held.clone()).projection(doc! { "_id": 1 }).session(&mut *session);
        job.await?.ok_or(Error::Fenced)?;
        if let Some(counted) = self.count(session, recompute.channel).await? {
            self.forget_intents(session, recompute.channel).await?;
            self.store_counts(session, recompute.channel, &counted, &recompute.pace, recompute.begun).await?;
        } else {
            self.forget_intents(session, recompute.channel).await?;
        }
        self.end(session, recompute.held.clone(), transitions::complete_recompute()).await?;
        Ok(Outcome::without_asset(JobState::Completed))
    }

    /// The numbers of a user as the session sees them. `None`: there is no such user.
    pub(crate) async fn count(&self, session: &mut ClientSession, user: ObjectId) -> Result<Option<Counted>, Error> {
        let begun = Instant::now();
        let mut found = self.users().aggregate(counting(doc! { "_id": user })).session(&mut *session).await?;
        let Some(document) = found.next(session).await.transpose()? else { return Ok(None) };
        let counted: Counted = bson::deserialize_from_document(document).map_err(|cause| Error::Corrupt {
            what: "count",
            id: user.to_hex(),
            cause: cause.into(),
        })?;
        Ok(Some(Counted { took: begun.elapsed(), ..counted }))
    }

    /// Forgets the intents that the session sees, which are those that its count has in it.
    pub(crate) async fn forget_intents(&self, session: &mut ClientSession, channel: ObjectId) -> Result<u64, Error> {
        Ok(self.intents().delete_many(doc! { "channel": channel }).session(session).await?.deleted_count)
    }

    /// Joins the numbers into the user, with the time before which there is no use in counting again.
    pub(crate) async fn store_counts(
        &self,
        session: &mut ClientSession,
        user: ObjectId,
        counted: &Counted,
        pace: &Pace,
        begun: Instant,
    ) -> Result<(), Error> {
        let cost = begun.elapsed();
        let is_quick = counted.took * pace.times_cost <= pace.pause;
        let pause = milliseconds(if is_quick { pace.pause } else { pace.pause.max(cost * pace.times_cost) });
        let aggregates = doc! {
            "subscribersCount": counted.counts.subscribers_count,
            "channelsSubscribedToCount": counted.counts.channels_subscribed_to_count,
            "computedAt": counted.computed_at,
            "costMs": milliseconds(cost),
            "nextAt": { "$add": ["$$NOW", pause] },
        };
        let update = vec![doc! { "$set": { "steep.aggregates": aggregates } }];
        self.users().update_one(doc! { "_id": user }, update).session(session).await?;
        Ok(())
    }

    /// Keeps the transaction that follows small when very many changes wait. What is deleted here is older than the count that
    /// follows, and what stays keeps the channel due should that never be made.
    async fn thin_out_intents(&self, channel: ObjectId) -> Result<(), Error> {
        loop {
            let of_channel = doc! { "channel": channel };
            let waiting = self.intents().count_documents(of_channel.clone()).limit(2 * INTENTS_AT_ONCE);
            if self.bounded(waiting).await? < 2 * INTENTS_AT_ONCE {
                return Ok(());
            }
            let bound = self.intents().find_one(of_channel).sort(doc! { "channel": 1, "_id": 1 }).skip(INTENTS_AT_ONCE);
            let Some(bound) = self.bounded(bound).await? else { return Ok(()) };
            let bound =
                bound.get_object_id("_id").map_err(|cause| Error::Database(mongodb::error::Error::custom(cause)))?;
            let oldest = self.intents().delete_many(doc! { "channel": channel, "_id": { "$lt": bound } });
            self.bounded(oldest).await?;
        }
    }

    /// Channels with changes that are not counted yet, which nobody counts and whose pause is over.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn due_channels(&self) -> Result<Vec<UserId>, Error> {
        let distinct = self.bounded(self.intents().distinct("channel", doc! {})).await?;
        let changed: Vec<ObjectId> = distinct.iter().filter_map(Bson::as_object_id).collect();
        let mut due = Vec::new();
        for batch in changed.chunks(BATCH) {
            let counting = doc! { "channel": { "$in": batch }, "dueAt": { "$exists": true } };
            let mut others = self.ids(self.jobs(), counting, "channel").await?;
            let pausing = doc! {
                "_id": { "$in": batch },
                "$expr": { "$gt": ["$steep.aggregates.nextAt", "$$NOW"] },
            };
            others.extend(self.ids(self.users(), pausing, "_id").await?);
            due.extend(batch.iter().filter(|id| !others.contains(id)).map(|id| UserId::from_bytes(id.bytes())));
        }
        Ok(due)
    }

    /// Submits the job that counts a channel. `None`: one waits or runs already.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn request_recompute(&self, channel: UserId) -> Result<Option<JobRecord>, Error> {
        let job = Job::RecomputeChannel(RecomputeChannel { channel });
        let subject = Subject { channel: Some(channel), ..Subject::default() };
        let job = self.new_job(JobId::new(), &job, subject, None);
        match self.bounded(self.jobs().insert_one(encode(&job)?)).await {
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
        let found: Vec<RawDocumentBuf> = self.bounded(async { found.await?.try_collect().await }).await?;
        Ok(found.iter().filter_map(|document| document.get_object_id(field).ok()).collect())
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}
