//! Taking over the subscriptions of a database that the system before Steep has filled.
//!
//! Nothing here is needed to serve: whatever is not taken over yet is read as it stands. Every step can be repeated and does
//! nothing where it has been done, so an adoption that was broken off goes on where it stopped.

mod duplicates;

use std::fmt;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use messages::UserId;
use mongodb::options::WriteConcern;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::channels::Channels;
use crate::channels::subscribers::counting;
use crate::codec::{decode, object_id};
use crate::connection::{Connection, Documents};
use crate::error::duplicate_key;

/// Users that are counted by one pipeline.
const BATCH: u32 = 1000;
/// Longer than any transaction lasts, in milliseconds.
const TRANSACTION: i64 = 60_000;
/// How long a step over a whole collection may take.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// How long an adopter is left alone without a sign of life.
const HELD: Duration = Duration::from_secs(120);

/// Something that could not be taken over as it was, in one line for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    #[serde(rename = "_id")]
    id: String,
    /// `duplicate subscription`, `dangling subscriptions`, `name taken`.
    pub kind: String,
    /// What it is, and what was done about it.
    pub text: String,
}

impl Finding {
    fn new(kind: &str, key: &str, text: String) -> Self {
        Self { id: format!("{kind}: {key}"), kind: kind.to_owned(), text }
    }
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

/// How far the counting has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The last user that was looked at; go on after it.
    pub last: UserId,
    /// Users of this step.
    pub users: u64,
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
        let adoption = self.documents.clone();
        let state = self.connection.bounded(adoption.find_one(doc! { "_id": "state" })).await?;
        if state.as_ref().is_some_and(|state| matches!(state.get("finishedAt"), Ok(Some(_)))) {
            return Ok(Adopting::Done);
        }
        let free = doc! { "_id": "state", "$expr": { "$or": [
            { "$eq": ["$by", { "$literal": name }] }, { "$lt": ["$until", "$$NOW"] }, { "$not": ["$until"] },
        ] } };
        let held = i64::try_from(HELD.as_millis()).unwrap_or(i64::MAX);
        let take = vec![doc! { "$set": { "by": { "$literal": name }, "until": { "$add": ["$$NOW", held] } } }];
        if self.connection.bounded(adoption.update_one(free, take)).await?.matched_count == 1 {
            return Ok(Adopting::Yours);
        }
        if state.is_some() {
            return Ok(Adopting::Others);
        }
        // Nobody ever asked. Of several who find that at once one writes it down.
        let until = DateTime::from_system_time(DateTime::now().to_system_time() + HELD);
        let first: Document = doc! { "_id": "state", "by": name, "until": until };
        match self.connection.bounded(self.connection.database().collection("adoption").insert_one(first)).await {
            Ok(_) => Ok(Adopting::Yours),
            Err(Error::Database(cause)) if duplicate_key(&cause).is_some() => Ok(Adopting::Others),
            Err(error) => Err(error),
        }
    }

    /// Notes that everything is taken over.
    pub async fn finish(&self) -> Result<(), Error> {
        let update = doc! { "$currentDate": { "finishedAt": true }, "$unset": { "by": "", "until": "" } };
        self.connection
            .bounded(self.documents.clone().update_one(doc! { "_id": "state" }, update).upsert(true))
            .await?;
        Ok(())
    }

    /// Has the adoption done again: somebody has filled in more.
    pub async fn repeat(&self) -> Result<(), Error> {
        let update = doc! { "$unset": { "finishedAt": "", "by": "", "until": "" } };
        self.connection.bounded(self.documents.clone().update_one(doc! { "_id": "state" }, update)).await?;
        Ok(())
    }

    /// What could not be taken over as it was, by kind; at most `limit`.
    pub async fn findings(&self, limit: u32) -> Result<Vec<Finding>, Error> {
        let adoption = self.documents.clone();
        let query = adoption.find(doc! { "kind": { "$exists": true } }).sort(doc! { "_id": 1 });
        let query = query.limit(i64::from(limit));
        let found: Vec<RawDocumentBuf> = self.connection.bounded(async { query.await?.try_collect().await }).await?;
        found.iter().map(|finding| decode("finding", finding)).collect()
    }

    /// Writes usernames and email addresses in lower case, as signing in looks for them; what was there before is kept in
    /// `steep.adopted`. One that somebody else has already stays as it is, and is reported. Says how many were written.
    pub async fn lower_case_names(&self) -> Result<u64, Error> {
        let mut written = 0;
        for field in ["email", "username"] {
            let query = self.channels.users.documents.find(doc! { field: { "$regex": "[A-Z]|\\p{Lu}" } });
            let query = query.projection(doc! { field: 1 });
            let mut users = patiently(query.into_future()).await?;
            while let Some(user) = self.connection.bounded(users.try_next()).await? {
                let (Ok(id), Ok(value)) = (user.get_object_id("_id"), user.get_str(field)) else { continue };
                let lower = value.to_lowercase();
                let (these, taken) = (doc! { "_id": id, field: value }, doc! { field: &lower, "_id": { "$ne": id } });
                // Where others have it twice there is no unique index to ask.
                let is_taken = self.connection.bounded(self.channels.users.documents.find_one(taken)).await?.is_some();
                let kept = format!("steep.adopted.{field}");
                let update = doc! { "$set": { field: &lower, kept: value } };
                let made = if is_taken { None } else { self.write_unless_taken(these, update).await? };
                match made {
                    Some(count) => written += count,
                    None => {
                        let text = format!(
                            "the {field} {value:?} of user {id} is another user's in lower case; left as it is"
                        );
                        self.report(&[Finding::new("name taken", &format!("{field} {id}"), text)]).await?;
                    }
                }
            }
        }
        Ok(written)
    }

    async fn write_unless_taken(&self, user: Document, update: Document) -> Result<Option<u64>, Error> {
        match self.connection.bounded(self.channels.users.documents.update_one(user, update)).await {
            Ok(made) => Ok(Some(made.modified_count)),
            Err(Error::Database(cause)) if duplicate_key(&cause).is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks for usernames and email addresses that several users have, and for subscriptions whose channel or subscriber does
    /// not exist. Both stay as they are.
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
        let mut groups = patiently(groups.into_future()).await?.try_chunks(BATCH as usize);
        while let Some(chunk) = patiently_next(&mut groups).await? {
            let found = chunk.iter().map(|group| (name(&group.id), group.n));
            // Not by their number, which may be another one the next time.
            let findings = found.map(|(value, n)| Finding::new(kind, &format!("{field} = {value}"), text(&value, n)));
            self.report(&findings.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Counts the next users of those whom nobody has counted, in the order of their ids. `None`: there are no more.
    ///
    /// Whoever changes a subscription meanwhile is left out, for [`Counters::reconcile`](crate::Counters::reconcile) to count.
    pub async fn count_next(&self, after: Option<UserId>) -> Result<Option<Progress>, Error> {
        let users = self.uncounted_users(after).await?;
        let Some(last) = users.last().copied() else { return Ok(None) };
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
        Ok(Some(Progress { last, users: users.len() as u64 }))
    }

    /// Users whom nobody has counted yet, in the order of their ids.
    pub async fn uncounted_users(&self, after: Option<UserId>) -> Result<Vec<UserId>, Error> {
        self.channels.users.in_order(doc! { "steep.aggregates.computedAt": { "$exists": false } }, after, BATCH).await
    }

    async fn report(&self, findings: &[Finding]) -> Result<(), Error> {
        for finding in findings {
            let update = doc! { "$set": { "kind": &finding.kind, "text": &finding.text }, "$setOnInsert": { "at": DateTime::now() } };
            self.connection
                .bounded(self.documents.clone().update_one(doc! { "_id": &finding.id }, update).upsert(true))
                .await?;
        }
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

/// The next items of a stream in chunks. A chunk that was cut short by an error is lost with it: the step is repeated.
async fn patiently_next<S, T>(stream: &mut S) -> Result<Option<Vec<T>>, Error>
where
    S: futures_util::Stream<Item = Result<Vec<T>, futures_util::stream::TryChunksError<T, mongodb::error::Error>>>
        + Unpin,
{
    match tokio::time::timeout(PATIENCE, futures_util::StreamExt::next(stream)).await {
        Ok(Some(chunk)) => Ok(Some(chunk.map_err(|error| error.1)?)),
        Ok(None) => Ok(None),
        Err(_) => Err(Error::timed_out(PATIENCE)),
    }
}
