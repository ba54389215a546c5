//! Comparing what is stored of a user with a recount, in one snapshot, so that a healthy system is found healthy while it is
//! being changed.

use bson::oid::ObjectId;
use bson::{Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::UserId;
use mongodb::ClientSession;
use serde::Deserialize;
use tokio::time::Instant;

use crate::documents::{UserDocument, decode, object_id};
use crate::{Counts, Error, Pace, Store, User};

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

struct Check {
    user: ObjectId,
    pace: Pace,
    begun: Instant,
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
        let mut check = Check { user: object_id(user.bytes()), pace: pace.clone(), begun: Instant::now() };
        self.transaction(&mut check, |store, session, check| Box::pin(store.check(session, check))).await
    }

    async fn check(&self, session: &mut ClientSession, check: &Check) -> Result<Checked, Error> {
        let user = self.users().find_one(doc! { "_id": check.user }).projection(doc! { "username": 1, "steep": 1 });
        let Some(found) = user.session(&mut *session).await? else { return Ok(Checked::Gone) };
        let mut document: UserDocument = decode("user", &found)?;
        let stored = document.take_aggregates().and_then(|aggregates| aggregates.read());
        let Some(counted) = self.count(session, check.user).await? else { return Ok(Checked::Gone) };
        let waiting = self.waiting(session, check.user).await?;
        let stored = stored
            .map(|stored| Counts { subscribers_count: stored.counts.subscribers_count + waiting, ..stored.counts });
        if stored == Some(counted.counts) {
            return Ok(Checked::Right);
        }
        self.forget_intents(session, check.user).await?;
        self.store_counts(session, check.user, &counted, &check.pace, check.begun).await?;
        let Some(stored) = stored else { return Ok(Checked::First) };
        let User { id, username, .. } = document.into();
        Ok(Checked::Mended(Drift { user: id, username, stored, counted: counted.counts }))
    }

    /// What the changes that no count has in it yet add up to.
    async fn waiting(&self, session: &mut ClientSession, channel: ObjectId) -> Result<i64, Error> {
        let pipeline = [
            doc! { "$match": { "channel": channel } },
            doc! { "$group": { "_id": null, "by": { "$sum": { "$toLong": "$by" } } } },
        ];
        let mut sum = self.intents().aggregate(pipeline).with_type::<Waiting>().session(&mut *session).await?;
        Ok(sum.next(session).await.transpose()?.map_or(0, |waiting| waiting.by))
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

    /// The user of a username, compared in lower case.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn find_by_username(&self, username: &str) -> Result<Option<UserId>, Error> {
        let query = self.users().find_one(doc! { "username": username.to_lowercase() }).projection(doc! { "_id": 1 });
        let found: Vec<RawDocumentBuf> = self.bounded(query).await?.into_iter().collect();
        Ok(user_ids(&found).pop())
    }
}

/// Ids of another type are no users of ours or of the original.
fn user_ids(found: &[RawDocumentBuf]) -> Vec<UserId> {
    let ids = found.iter().filter_map(|user| user.get_object_id("_id").ok());
    ids.map(|id| UserId::from_bytes(id.bytes())).collect()
}
