//! Comparing what is stored of a user with a recount, at one moment, so that a healthy system is found healthy while it is
//! being changed.

use bson::doc;
use bson::oid::ObjectId;
use messages::UserId;
use mongodb::ClientSession;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::codec::object_id;
use crate::counters::recount::{AGAIN, Numbers, is_no_moment};
use crate::counters::{Counters, Counts, Pace};

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

impl Counters {
    /// Compares a user's stored numbers with a recount, and mends them if they differ.
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
                Err(error) if is_no_moment(&error) && begun.elapsed() < self.connection.config().timeout => {
                    sleep(AGAIN).await
                }
                compared => return compared,
            }
        }
    }

    async fn compared_at_a_moment(&self, user: ObjectId) -> Result<Option<(Numbers, i64)>, Error> {
        let mut session = self.connection.moment().await?;
        let Some(numbers) = self.numbers(&mut session, user).await? else { return Ok(None) };
        let waiting = self.waiting(&mut session, user).await?;
        Ok(Some((numbers, waiting)))
    }

    /// Counts a user and stores the numbers, again if somebody else has done so meanwhile.
    async fn mend(&self, user: ObjectId, pace: &Pace) -> Result<Option<Counts>, Error> {
        for _ in 0..TRIES {
            let mut mending = (self.recount(user).await?, pace);
            let is_stored = self
                .connection
                .transaction(self, &mut mending, |counters, session, (recount, pace)| {
                    Box::pin(counters.join_recount(session, recount, pace))
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
        let sum = self.intents.aggregate(pipeline).with_type::<Waiting>();
        let sum = async {
            let mut sum = sum.session(&mut *session).await?;
            sum.next(session).await.transpose()
        };
        Ok(self.connection.bounded(sum).await?.map_or(0, |waiting| waiting.by))
    }
}
