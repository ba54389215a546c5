//! Adopting a database of chai-backend: its subscriptions, and names with capitals.
//!
//! Nothing here is needed to serve: whatever is not taken over yet is read as it stands. Every step can be repeated and does
//! nothing where it has been done, so an adoption that was broken off goes on where it stopped.

mod duplicates;

use std::fmt;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::UserId;
use mongodb::options::{ReturnDocument, WriteConcern};
use serde::Deserialize;

use crate::Error;
use crate::channels::Channels;
use crate::channels::subscribers::counting;
use crate::codec::{after, decode, object_id};
use crate::connection::{Connection, Documents};
use crate::error::duplicate_key;
use crate::users::MAX_BCRYPT_COST;

/// Users that are counted by one pipeline.
const BATCH: u32 = 1000;
/// Longer than any transaction lasts, in milliseconds.
const TRANSACTION: i64 = 60_000;
/// How long a step over a whole collection may take.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// Hashes of bcrypt that cost more than [`MAX_BCRYPT_COST`].
const COSTLY_HASH: &str = r"^\$2[aby]\$0*(1[4-9]|[2-9][0-9])\$";
/// How long an adopter is left alone without a sign of life.
const HELD: Duration = Duration::from_secs(120);

/// Something that could not be taken over as it was, in one line for a person.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Finding {
    /// `costly password`, `dangling subscriptions`, `duplicate subscription`, `name taken`.
    pub kind: String,
    /// What it is, and what was done about it.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

/// Whether an adoption is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopting {
    /// Do it: nobody else does now.
    Yours,
    /// Somebody else does.
    Others,
    /// It has been done.
    Done,
}

#[derive(Deserialize)]
struct Group {
    #[serde(rename = "_id")]
    id: Bson,
    n: i64,
}

/// Taking over a database of chai-backend.
#[derive(Debug, Clone)]
pub struct Adoption {
    connection: Connection,
    channels: Channels,
    /// How far it has come, and what it found.
    documents: Documents,
}

impl Adoption {
    pub(crate) fn new(channels: &Channels) -> Self {
        let connection = channels.connection.clone();
        Self { documents: connection.collection("adoption"), channels: channels.clone(), connection }
    }

    /// Asks for the adoption, in the name of somebody. Ask again at least every minute while at it.
    pub async fn begin(&self, name: &str) -> Result<Adopting, Error> {
        let is_ours = doc! { "$and": [
            { "$not": ["$finishedAt"] },
            // Where nobody ever asked, the missing time comes before any other.
            { "$or": [{ "$eq": ["$by", { "$literal": name }] }, { "$lt": ["$until", "$$NOW"] }] },
        ] };
        let ours = doc! { "$mergeObjects": ["$$ROOT", { "by": { "$literal": name }, "until": after(HELD) }] };
        let update = vec![doc! { "$replaceWith": { "$cond": [is_ours, ours, "$$ROOT"] } }];
        let state = self.documents.find_one_and_update(doc! { "_id": "state" }, update).upsert(true);
        let state = self.connection.bounded(state.return_document(ReturnDocument::After)).await?;
        Ok(match state {
            Some(state) if matches!(state.get("finishedAt"), Ok(Some(_))) => Adopting::Done,
            Some(state) if state.get_str("by").is_ok_and(|by| by == name) => Adopting::Yours,
            _ => Adopting::Others,
        })
    }

    /// Notes that everything is taken over.
    pub async fn finish(&self) -> Result<(), Error> {
        let update = doc! { "$currentDate": { "finishedAt": true }, "$unset": { "by": "", "until": "" } };
        self.connection.bounded(self.documents.update_one(doc! { "_id": "state" }, update).upsert(true)).await?;
        Ok(())
    }

    /// Has the adoption done again: somebody has filled in more.
    pub async fn repeat(&self) -> Result<(), Error> {
        let update = doc! { "$unset": { "finishedAt": "", "by": "", "until": "" } };
        self.connection.bounded(self.documents.update_one(doc! { "_id": "state" }, update)).await?;
        Ok(())
    }

    /// What could not be taken over as it was, by kind; at most `limit`.
    pub async fn findings(&self, limit: u32) -> Result<Vec<Finding>, Error> {
        let query = self.documents.find(doc! { "kind": { "$exists": true } }).sort(doc! { "_id": 1 });
        let query = query.limit(i64::from(limit));
        let found: Vec<RawDocumentBuf> = self.connection.bounded(async { query.await?.try_collect().await }).await?;
        found.iter().map(|finding| decode("finding", finding)).collect()
    }

    /// Writes usernames and email addresses in lower case, as signing in looks for them; what was there before is kept in
    /// `steep.adopted`. One that somebody else has already stays as it is, and is reported. Says how many were written.
    pub async fn lower_case_names(&self) -> Result<u64, Error> {
        let documents = &self.channels.users.documents;
        let mut written = 0;
        for field in ["email", "username"] {
            let query = documents.find(doc! { field: { "$regex": "[A-Z]|\\p{Lu}" } }).projection(doc! { field: 1 });
            let mut users = patiently(query.into_future()).await?;
            while let Some(user) = self.connection.bounded(users.try_next()).await? {
                let (Ok(id), Ok(value)) = (user.get_object_id("_id"), user.get_str(field)) else { continue };
                let lower = value.to_lowercase();
                // Where others have it twice there is no unique index to ask.
                let taken = documents.find_one(doc! { field: &lower, "_id": { "$ne": id } });
                let mut is_taken = self.connection.bounded(taken).await?.is_some();
                if !is_taken {
                    let update = doc! { "$set": { field: lower, format!("steep.adopted.{field}"): value } };
                    match self.connection.bounded(documents.update_one(doc! { "_id": id, field: value }, update)).await
                    {
                        Ok(made) => written += made.modified_count,
                        Err(Error::Database(cause)) if duplicate_key(&cause).is_some() => is_taken = true,
                        Err(error) => return Err(error),
                    }
                }
                if is_taken {
                    let text =
                        format!("the {field} {value:?} of user {id} is another user's in lower case; left as it is");
                    self.report("name taken", &format!("{field} {id}"), text).await?;
                }
            }
        }
        Ok(written)
    }

    /// Looks for usernames and email addresses that several users have, for subscriptions whose channel or subscriber does not
    /// exist, and for users who cannot sign in because of what checking their password would cost. All stay as they are.
    pub async fn report_what_stays(&self) -> Result<(), Error> {
        for field in ["email", "username"] {
            let several = [
                doc! { "$group": { "_id": format!("${field}"), "n": { "$sum": 1_i64 } } },
                doc! { "$match": { "n": { "$gt": 1 } } },
            ];
            self.report_groups(&self.channels.users.documents, &several, "name taken", field, |value, n| {
                format!("{n} users have the {field} {value}; one of them signs in with it, and nobody new can have it")
            })
            .await?;
        }
        for field in ["channel", "subscriber"] {
            let dangling = [
                doc! { "$group": { "_id": format!("${field}"), "n": { "$sum": 1_i64 } } },
                doc! { "$lookup": { "from": "users", "localField": "_id", "foreignField": "_id",
                "pipeline": [{ "$project": { "_id": 1 } }], "as": "user" } },
                doc! { "$match": { "user": [] } },
            ];
            self.report_groups(&self.channels.subscriptions, &dangling, "dangling subscriptions", field, |value, n| {
                format!("{n} with the {field} {value}, who does not exist; left where they are, and in no list")
            })
            .await?;
        }
        self.report_costly_passwords().await
    }

    async fn report_costly_passwords(&self) -> Result<(), Error> {
        let users = self.channels.users.documents.find(doc! { "password": { "$regex": COSTLY_HASH } });
        let mut users = patiently(users.projection(doc! { "username": 1 }).into_future()).await?;
        while let Some(user) = patiently(users.try_next()).await? {
            let (Ok(id), Ok(username)) = (user.get_object_id("_id"), user.get_str("username")) else { continue };
            let text = format!("user {id}, {username:?}, cannot sign in: bcrypt costs more than {MAX_BCRYPT_COST}");
            self.report("costly password", &id.to_hex(), text).await?;
        }
        Ok(())
    }

    async fn report_groups(
        &self,
        documents: &Documents,
        pipeline: &[Document],
        kind: &str,
        field: &str,
        text: impl Fn(&str, i64) -> String,
    ) -> Result<(), Error> {
        let groups = documents.aggregate(pipeline.to_vec()).allow_disk_use(true).with_type::<Group>();
        let mut groups = patiently(groups.into_future()).await?;
        while let Some(Group { id, n }) = patiently(groups.try_next()).await? {
            let value = name(&id);
            // Not by their number, which may be another one the next time.
            self.report(kind, &format!("{field} = {value}"), text(&value, n)).await?;
        }
        Ok(())
    }

    /// Counts the next users of those whom nobody has counted, in the order of their ids, and answers with them: go on after the
    /// last. None: there are no more.
    ///
    /// Whoever changes a subscription meanwhile is left out, for [`Counters::reconcile`](crate::Counters::reconcile) to count.
    pub async fn count_next(&self, after: Option<UserId>) -> Result<Vec<UserId>, Error> {
        let users = self.uncounted_users(after).await?;
        if users.is_empty() {
            return Ok(users);
        }
        let ids: Vec<ObjectId> = users.iter().map(|id| object_id(id.bytes())).collect();
        let mut pipeline = counting(doc! { "_id": { "$in": ids } });
        // After the counts: a change that one of them has in it, and that waits to be counted, is seen here.
        pipeline.push(doc! { "$lookup": {
            "from": self.channels.intents.name(),
            "localField": "_id",
            "foreignField": "channel",
            "pipeline": [{ "$limit": 1 }, { "$project": { "_id": 1 } }],
            "as": "waiting",
        } });
        pipeline.push(doc! { "$match": { "waiting": [] } });
        pipeline.push(
            doc! { "$merge": { "into": "users", "on": "_id", "whenMatched": join(), "whenNotMatched": "discard" } },
        );
        // What a failover undoes is counted again at the next look.
        let joined =
            self.channels.users.documents.aggregate(pipeline).write_concern(WriteConcern::nodes(1)).into_future();
        patiently(joined).await?;
        Ok(users)
    }

    /// Users whom nobody has counted yet, in the order of their ids.
    pub async fn uncounted_users(&self, after: Option<UserId>) -> Result<Vec<UserId>, Error> {
        self.channels.users.in_order(doc! { "steep.aggregates.computedAt": { "$exists": false } }, after, BATCH).await
    }

    async fn report(&self, kind: &str, key: &str, text: String) -> Result<(), Error> {
        let now = self.connection.now().await?;
        let update = doc! { "$set": { "kind": kind, "text": text }, "$setOnInsert": { "at": now } };
        let finding = doc! { "_id": format!("{kind}: {key}") };
        self.connection.bounded(self.documents.update_one(finding, update).upsert(true)).await?;
        Ok(())
    }
}

/// Joins numbers into a user, unless somebody else has done so, or the user has subscribed or unsubscribed at about the time.
fn join() -> Vec<Document> {
    let is_first = doc! { "$eq": [{ "$type": "$steep.aggregates.computedAt" }, "missing"] };
    let is_quiet =
        doc! { "$not": [{ "$gt": [{ "$max": "$steep.changes.at" }, { "$subtract": ["$$NOW", TRANSACTION] }] }] };
    let numbers = doc! {
        "subscribersCount": "$$new.subscribersCount",
        "channelsSubscribedToCount": "$$new.channelsSubscribedToCount",
        "computedAt": "$$new.computedAt",
    };
    vec![doc! { "$set": {
        "steep.aggregates": { "$cond": [{ "$and": [is_first, is_quiet] }, numbers, "$steep.aggregates"] },
    } }]
}

fn name(id: &Bson) -> String {
    match id {
        Bson::ObjectId(id) => id.to_hex(),
        other => other.to_string(),
    }
}

/// Awaits an operation over a whole collection.
async fn patiently<T>(operation: impl Future<Output = mongodb::error::Result<T>>) -> Result<T, Error> {
    Ok(tokio::time::timeout(PATIENCE, operation).await.map_err(|_| Error::timed_out(PATIENCE))??)
}
