//! Counting a user at one moment, outside of any transaction, so that it may take as long as a channel is large; and joining the
//! numbers into the user in a transaction that takes no longer for a large channel than for a small one.
//!
//! In between others may do the same. What stood on the user at the moment of the count is remembered, and numbers are joined only
//! where that is what stands there still: so an older count never replaces a newer one, whose changes it does not have in it.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::UserId;
use mongodb::ClientSession;
use mongodb::error::ErrorKind;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::codec::object_id;
use crate::counters::{Counters, Counts, Pace, counting, milliseconds};
use crate::jobs::Settle;

/// How long counting may take. The server keeps a moment for five minutes, unless it is told otherwise.
const COUNTING: Duration = Duration::from_secs(240);
/// Before the server is asked again for a moment that it does not have.
pub(crate) const AGAIN: Duration = Duration::from_millis(20);

/// A channel that is counted and whose numbers are not stored yet.
#[derive(Debug, Clone)]
pub struct Recount {
    user: ObjectId,
    begun: Instant,
    /// Nothing when there is no such user.
    numbers: Option<Numbers>,
    /// The changes that the count has in it: all that waited at its moment.
    intents: Vec<ObjectId>,
}

/// What was counted, and what stood there.
#[derive(Debug, Clone)]
pub(crate) struct Numbers {
    pub counts: Counts,
    /// An instant after the moment that they are of.
    computed_at: DateTime,
    /// How long counting took.
    took: Duration,
    pub before: Before,
}

/// What stood on the user at the moment of the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before {
    pub username: String,
    computed_at: Option<Bson>,
    version: Option<Bson>,
    subscribers: Option<i64>,
    subscribed_to: Option<i64>,
    changes: Option<Bson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counted {
    #[serde(flatten)]
    counts: Counts,
    computed_at: DateTime,
}

fn whole(number: &Bson) -> Option<i64> {
    number.as_i64().or_else(|| number.as_i32().map(i64::from))
}

impl Before {
    fn read(user: &Document) -> Self {
        let steep = user.get_document("steep").ok();
        let aggregates = steep.and_then(|steep| steep.get_document("aggregates").ok());
        let value = |field| aggregates.and_then(|aggregates| aggregates.get(field));
        Self {
            username: user.get_str("username").unwrap_or_default().to_owned(),
            computed_at: value("computedAt").cloned(),
            version: value("version").cloned(),
            subscribers: value("subscribersCount").and_then(whole),
            subscribed_to: value("channelsSubscribedToCount").and_then(whole),
            changes: steep.and_then(|steep| steep.get("changes")).cloned(),
        }
    }

    /// The numbers that were stored; none of a user whom nobody had counted.
    pub(crate) fn counts(&self) -> Option<Counts> {
        let Self { computed_at: Some(Bson::DateTime(_)), subscribers: Some(subscribers), .. } = self else {
            return None;
        };
        Some(Counts { subscribers_count: *subscribers, channels_subscribed_to_count: self.subscribed_to? })
    }

    /// The user, if nobody has counted them since. What the user has subscribed to since is allowed for, but for a user without
    /// that number.
    fn still_so(&self, user: ObjectId) -> Document {
        let same = |value: &Option<Bson>| value.clone().unwrap_or_else(|| doc! { "$exists": false }.into());
        let mut filter = doc! {
            "_id": user,
            "steep.aggregates.computedAt": same(&self.computed_at),
            "steep.aggregates.version": same(&self.version),
        };
        if self.subscribed_to.is_none() {
            filter.insert("steep.changes", same(&self.changes));
        }
        filter
    }
}

impl Counters {
    /// Counts a channel, and changes nothing. The numbers are of one moment, and so are the changes known to be in them;
    /// [`Counters::complete`] stores the ones and forgets the others. Takes as long as it takes to walk over as many keys
    /// of an index as the channel has subscribers, four minutes at most.
    pub async fn count(&self, channel: UserId) -> Result<Recount, Error> {
        self.recount(object_id(channel.bytes())).await
    }

    pub(crate) async fn recount(&self, user: ObjectId) -> Result<Recount, Error> {
        let begun = Instant::now();
        self.thin_out_intents(user).await?;
        loop {
            match self.recount_at_a_moment(user, begun).await {
                Err(error) if is_no_moment(&error) && begun.elapsed() < self.connection.config().timeout => {
                    sleep(AGAIN).await
                }
                recount => return recount,
            }
        }
    }

    async fn recount_at_a_moment(&self, user: ObjectId, begun: Instant) -> Result<Recount, Error> {
        let mut session = self.connection.moment().await?;
        let numbers = self.numbers(&mut session, user).await?;
        let intents = self.intents.find(doc! { "channel": user }).projection(doc! { "_id": 1 });
        let intents: Vec<RawDocumentBuf> = self
            .connection
            .bounded(async { intents.session(&mut session).await?.stream(&mut session).try_collect().await })
            .await?;
        let intents = intents.iter().filter_map(|intent| intent.get_object_id("_id").ok()).collect();
        Ok(Recount { user, begun, numbers, intents })
    }

    /// The numbers of a user as the session sees them. `None`: there is no such user.
    pub(crate) async fn numbers(&self, session: &mut ClientSession, user: ObjectId) -> Result<Option<Numbers>, Error> {
        // First, so that the moment is before what the count calls now.
        let before = self.users.documents.find_one(doc! { "_id": user });
        let before = before.projection(doc! { "username": 1, "steep.aggregates": 1, "steep.changes": 1 });
        let Some(before) = self.connection.bounded(before.session(&mut *session)).await? else { return Ok(None) };
        let corrupt =
            |cause: bson::error::Error| Error::Corrupt { what: "count", id: user.to_hex(), cause: cause.into() };
        let before = Before::read(&Document::try_from(before).map_err(corrupt)?);

        let begun = Instant::now();
        let count = self.users.documents.aggregate(counting(doc! { "_id": user })).max_time(COUNTING);
        let counted = async {
            let mut found = count.session(&mut *session).await?;
            found.next(session).await.transpose()
        };
        let counted = tokio::time::timeout(COUNTING, counted).await.map_err(|_| Error::timed_out(COUNTING))??;
        let Some(counted) = counted else { return Ok(None) };
        let Counted { counts, computed_at } = bson::deserialize_from_document(counted).map_err(corrupt)?;
        Ok(Some(Numbers { counts, computed_at, took: begun.elapsed(), before }))
    }

    /// Stores the numbers of a channel that was counted, and forgets the intents that are in them. A change that arrived since it was
    /// counted leaves its intent, and with it the next recount. If somebody else has counted the channel since, their numbers stay,
    /// and whatever is not in them still has its intent.
    pub async fn store_recount(&self, settle: &mut Settle<'_>, recount: &Recount, pace: &Pace) -> Result<(), Error> {
        self.join_recount(settle.session(), recount, pace).await.map(|_| ())
    }

    /// Joins the numbers into the user, with the time before which there is no use in counting again, and forgets the changes
    /// that are in them. `false`: somebody else has counted the user since, and nothing was written.
    pub(crate) async fn join_recount(
        &self,
        session: &mut ClientSession,
        recount: &Recount,
        pace: &Pace,
    ) -> Result<bool, Error> {
        if let Some(numbers) = &recount.numbers {
            let update = vec![doc! { "$set": { "steep.aggregates": numbers.joined(recount.begun.elapsed(), pace) } }];
            let user = numbers.before.still_so(recount.user);
            if self.users.documents.update_one(user, update).session(&mut *session).await?.matched_count == 0 {
                return Ok(false);
            }
        }
        if !recount.intents.is_empty() {
            let counted = doc! { "channel": recount.user, "_id": { "$in": &recount.intents } };
            self.intents.delete_many(counted).session(session).await?;
        }
        Ok(true)
    }
}

impl Recount {
    pub(crate) fn counts(&self) -> Option<Counts> {
        self.numbers.as_ref().map(|numbers| numbers.counts)
    }
}

impl Numbers {
    fn joined(&self, cost: Duration, pace: &Pace) -> Document {
        let is_quick = self.took * pace.times_cost <= pace.pause;
        let pause = milliseconds(if is_quick { pace.pause } else { pace.pause.max(cost * pace.times_cost) });
        let subscribed_to = self.counts.channels_subscribed_to_count;
        let subscribed_to: Bson = match self.before.subscribed_to {
            // What the user has subscribed to since is in the number that stands there, and not in the count.
            Some(stored) => {
                doc! { "$add": ["$steep.aggregates.channelsSubscribedToCount", subscribed_to - stored] }.into()
            }
            None => subscribed_to.into(),
        };
        let version = self.before.version.as_ref().and_then(whole).unwrap_or_default();
        doc! {
            "subscribersCount": self.counts.subscribers_count,
            "channelsSubscribedToCount": subscribed_to,
            "computedAt": self.computed_at,
            "version": version.wrapping_add(1),
            "costMs": milliseconds(cost),
            "nextAt": { "$add": ["$$NOW", pause] },
        }
    }
}

/// The server has no such moment: a collection or an index was made just now, or counting took longer than it remembers.
pub(crate) fn is_no_moment(error: &Error) -> bool {
    const SNAPSHOT_TOO_OLD: i32 = 239;
    const SNAPSHOT_UNAVAILABLE: i32 = 246;
    let cause = match error {
        Error::Database(cause) => Some(cause),
        Error::Unavailable(cause) => cause.downcast_ref::<mongodb::error::Error>(),
        _ => None,
    };
    let Some(ErrorKind::Command(command)) = cause.map(|cause| cause.kind.as_ref()) else { return false };
    [SNAPSHOT_TOO_OLD, SNAPSHOT_UNAVAILABLE].contains(&command.code)
}
