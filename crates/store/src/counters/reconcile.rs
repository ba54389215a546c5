//! Comparing what is stored of a user with a recount, at one moment, so that a healthy system is found healthy while it is
//! being changed.

use bson::oid::ObjectId;
use bson::{Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::UserId;
use mongodb::ClientSession;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::codec::object_id;
use crate::counters::recount::{AGAIN, Numbers, is_no_moment};
use crate::users::spellings;
use crate::{Counts, Error, Pace, Store};

/// How often numbers are mended that others replace meanwhile.
const TRIES: usize = 10;

/// Stored numbers that were wrong, and are no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Whose.
    pub user: UserId,
    /// That user's name.
    pub username: String,
    /// What was stored, with the changes that waited to be counted.
    pub stored: Counts,
    /// What is true, and stored now.
    pub counted: Counts,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// The stored numbers and the changes that wait add up to a recount.
    Right,
    /// Nobody had counted the user before. Now somebody has.
    First,
    /// They did not. The recount is stored.
    Mended(Drift),
    /// There is no such user.
    Gone,
}

#[derive(Deserialize)]
struct Waiting {
    by: i64,
}

impl Store {
    /// Compares a user's stored numbers with a recount, and mends them if they differ.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], [`Error::Unknown`], [`Error::Corrupt`] or [`Error::Database`].
    pub async fn reconcile(&self, user: UserId, pace: &Pace) -> Result<Checked, Error> {
        let id = object_id(user.bytes());
        let begun = Instant::now();
        let Some((numbers, waiting)) = self.compared(id, begun).await? else { return Ok(Checked::Gone) };
        let stored = numbers
            .before
            .counts()
            .map(|stored| Counts { subscribers_count: stored.subscribers_count + waiting, ..stored });
        if stored == Some(numbers.counts) {
            return Ok(Checked::Right);
        }
        let Some(counted) = self.mend(id, pace).await? else { return Ok(Checked::Gone) };
        let Some(stored) = stored else { return Ok(Checked::First) };
        Ok(Checked::Mended(Drift { user, username: numbers.before.username, stored, counted }))
    }

    /// The numbers of a user, counted and stored, and what waits to be counted: all of one moment.
    async fn compared(&self, user: ObjectId, begun: Instant) -> Result<Option<(Numbers, i64)>, Error> {
        loop {
            match self.compared_at_a_moment(user).await {
                Err(error) if is_no_moment(&error) && begun.elapsed() < self.config().timeout => sleep(AGAIN).await,
                compared => return compared,
            }
        }
    }

    async fn compared_at_a_moment(&self, user: ObjectId) -> Result<Option<(Numbers, i64)>, Error> {
        let mut session = self.moment().await?;
        let Some(numbers) = self.numbers(&mut session, user).await? else { return Ok(None) };
        let waiting = self.waiting(&mut session, user).await?;
        Ok(Some((numbers, waiting)))
    }

    /// Counts a user and stores the numbers, again if somebody else has done so meanwhile.
    async fn mend(&self, user: ObjectId, pace: &Pace) -> Result<Option<Counts>, Error> {
        for _ in 0..TRIES {
            let mut mending = (self.recount(user).await?, pace);
            let is_stored = self
                .transaction(&mut mending, |store, session, (recount, pace)| {
                    Box::pin(store.store_recount(session, recount, pace))
                })
                .await?;
            if is_stored {
                return Ok(mending.0.counts());
            }
        }
        Err(Error::Unavailable("the user is counted by others all the time".into()))
    }

    /// What the changes that no count has in it yet add up to.
    async fn waiting(&self, session: &mut ClientSession, channel: ObjectId) -> Result<i64, Error> {
        let pipeline = [
            doc! { "$match": { "channel": channel } },
            doc! { "$group": { "_id": null, "by": { "$sum": { "$toLong": "$by" } } } },
        ];
        let sum = self.intents().aggregate(pipeline).with_type::<Waiting>();
        let sum = async {
            let mut sum = sum.session(&mut *session).await?;
            sum.next(session).await.transpose()
        };
        Ok(self.bounded(sum).await?.map_or(0, |waiting| waiting.by))
    }

    /// Users drawn at random, at most `size`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn sample_users(&self, size: u32) -> Result<Vec<UserId>, Error> {
        let pipeline = [doc! { "$sample": { "size": i64::from(size) } }, doc! { "$project": { "_id": 1 } }];
        let sample = self.users().aggregate(pipeline).with_type::<RawDocumentBuf>();
        Ok(user_ids(&self.bounded::<Vec<_>>(async { sample.await?.try_collect().await }).await?))
    }

    /// The users after one, in the order of their ids, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn users_after(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, Error> {
        self.users_in_order(doc! {}, after, limit).await
    }

    pub(crate) async fn users_in_order(
        &self,
        mut filter: Document,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<UserId>, Error> {
        if let Some(after) = after {
            filter.insert("_id", doc! { "$gt": object_id(after.bytes()) });
        }
        let query = self.users().find(filter).sort(doc! { "_id": 1 }).limit(i64::from(limit));
        let query = query.projection(doc! { "_id": 1 });
        Ok(user_ids(&self.bounded::<Vec<_>>(async { query.await?.try_collect().await }).await?))
    }

    /// The user of a username, in whichever spelling.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn find_by_username(&self, username: &str) -> Result<Option<UserId>, Error> {
        let query = self.users().find_one(doc! { "username": spellings(username) }).projection(doc! { "_id": 1 });
        let found: Vec<RawDocumentBuf> = self.bounded(query).await?.into_iter().collect();
        Ok(user_ids(&found).pop())
    }
}

/// Ids of another type are no users of ours or of the original.
fn user_ids(found: &[RawDocumentBuf]) -> Vec<UserId> {
    let ids = found.iter().filter_map(|user| user.get_object_id("_id").ok());
    ids.map(|id| UserId::from_bytes(id.bytes())).collect()
}
