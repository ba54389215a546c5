//! What people tell workers: queues and users that are paused, and workers that are to drain.
//!
//! A control is a document that is there or not. Workers read their names every other second, so what is told takes effect within a
//! few seconds, and a worker that starts reads them before it takes anything.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use bson::{Document, RawDocumentBuf, doc};
use messages::UserId;
use serde::Deserialize;
use serde_with::serde_as;
use time::OffsetDateTime;

use crate::Error;
use crate::codec::{BsonDateTime, decode_entry, decode_found, encode};
use crate::connection::{Connection, Documents};
use crate::error::duplicate_key;

/// Users that may be paused at once: every worker reads their names all the time.
pub const MAX_PAUSED_USERS: u64 = 1_000;
/// Controls that are read at once.
const ALL: i64 = 5_000;

/// What a control is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controlled {
    /// A queue by the name that settings know it by (`media.upload`): it is paused in every spool.
    Queue(String),
    User(UserId),
    /// A worker, which drains.
    Worker(String),
}

impl Controlled {
    fn read(id: &str) -> Option<Self> {
        let (what, name) = id.split_once(':')?;
        match what {
            "queue" => Some(Self::Queue(name.to_owned())),
            "user" => name.parse().ok().map(Self::User),
            "worker" => Some(Self::Worker(name.to_owned())),
            _ => None,
        }
    }
}

/// As it stands in documents: `queue:media.upload`, `user:<id>`, `worker:<name>`. Permanent.
impl fmt::Display for Controlled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue:{name}"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Worker(name) => write!(f, "worker:{name}"),
        }
    }
}

/// A control that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    pub what: Controlled,
    /// What a person calls it: a user's name as it was then, or the name itself.
    pub title: String,
    /// Who told so.
    pub by: String,
    /// Why, if they said it.
    pub why: String,
    pub at: OffsetDateTime,
}

/// What came of telling something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steered {
    Done,
    /// It was so before, and stays as it was told then.
    AlreadySo,
    /// So many users are paused already that no other may be.
    TooMany,
}

/// What a worker is told, as names alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders {
    /// Paused queues, by the names that settings know them by.
    pub queues: BTreeSet<String>,
    /// Paused users.
    pub users: HashSet<UserId>,
    /// Whether the worker that asks is to drain.
    pub drain: bool,
}

#[serde_as]
#[derive(Deserialize)]
struct ControlDocument {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    by: String,
    #[serde(default)]
    why: String,
    #[serde_as(as = "BsonDateTime")]
    at: OffsetDateTime,
}

impl ControlDocument {
    fn known(self) -> Option<Control> {
        let Self { id, title, by, why, at } = self;
        Some(Control { what: Controlled::read(&id)?, title, by, why, at })
    }
}

/// What workers are told.
#[derive(Debug, Clone)]
pub struct Controls {
    connection: Connection,
    documents: Documents,
}

impl Controls {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self { connection: connection.clone(), documents: connection.collection("controls") }
    }

    /// Tells something. A second call changes nothing, also not who told so and why.
    pub async fn set(&self, what: &Controlled, title: &str, by: &str, why: &str) -> Result<Steered, Error> {
        if matches!(what, Controlled::User(_)) {
            let paused = self.documents.count_documents(doc! { "_id": range("user") }).limit(MAX_PAUSED_USERS);
            if self.connection.bounded(paused).await? >= MAX_PAUSED_USERS {
                let is_one = self.find(what).await?.is_some();
                return Ok(if is_one { Steered::AlreadySo } else { Steered::TooMany });
            }
        }
        let at = self.connection.now().await?;
        let control = doc! { "_id": what.to_string(), "title": title, "by": by, "why": why, "at": at };
        match self.connection.bounded(self.documents.insert_one(encode(&control)?)).await {
            Ok(_) => Ok(Steered::Done),
            Err(Error::Database(cause)) if duplicate_key(&cause).is_some() => Ok(Steered::AlreadySo),
            Err(error) => Err(error),
        }
    }

    /// Takes back what was told. `false`: it was not. What waits for a paused user goes on only after
    /// [`Jobs::resume_held`](crate::Jobs::resume_held).
    pub async fn lift(&self, what: &Controlled) -> Result<bool, Error> {
        let lifted = self.documents.delete_one(doc! { "_id": what.to_string() });
        Ok(self.connection.bounded(lifted).await?.deleted_count > 0)
    }

    pub async fn find(&self, what: &Controlled) -> Result<Option<Control>, Error> {
        let found = self.connection.bounded(self.documents.find_one(doc! { "_id": what.to_string() })).await?;
        let found: Option<ControlDocument> = decode_found("control", found)?;
        Ok(found.and_then(ControlDocument::known))
    }

    /// Those of some things that hold.
    pub async fn among(&self, what: &[Controlled]) -> Result<Vec<Control>, Error> {
        let ids: Vec<String> = what.iter().map(Controlled::to_string).collect();
        self.read(doc! { "_id": { "$in": ids } }).await
    }

    /// All that holds, in the order of names.
    pub async fn all(&self) -> Result<Vec<Control>, Error> {
        self.read(doc! {}).await
    }

    async fn read(&self, filter: Document) -> Result<Vec<Control>, Error> {
        let query = self.documents.find(filter).sort(doc! { "_id": 1 }).limit(ALL);
        let found: Vec<RawDocumentBuf> = self.connection.collect(query).await?;
        let known = |one: &RawDocumentBuf| decode_entry::<ControlDocument>("control", one)?.known();
        Ok(found.iter().filter_map(known).collect())
    }

    /// What a worker is told, answered from the index of names.
    pub async fn orders(&self, worker: &str) -> Result<Orders, Error> {
        let its_own = Controlled::Worker(worker.to_owned()).to_string();
        let told = doc! { "$or": [{ "_id": range("queue") }, { "_id": range("user") }, { "_id": its_own }] };
        let found = self.connection.collect(self.documents.find(told).projection(doc! { "_id": 1 }).limit(ALL)).await?;
        let mut orders = Orders::default();
        for id in found.iter().filter_map(|control: &RawDocumentBuf| control.get_str("_id").ok()) {
            match Controlled::read(id) {
                Some(Controlled::Queue(queue)) => drop(orders.queues.insert(queue)),
                Some(Controlled::User(user)) => drop(orders.users.insert(user)),
                Some(Controlled::Worker(_)) => orders.drain = true,
                // Of a later version.
                None => {}
            }
        }
        Ok(orders)
    }
}

/// The names of controls of one sort: `;` comes after `:`.
fn range(what: &str) -> Document {
    doc! { "$gte": format!("{what}:"), "$lt": format!("{what};") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_is_read_by_its_name() {
        let user = UserId::from_bytes([7; 12]);
        for what in [
            Controlled::Queue("media.upload".to_owned()),
            Controlled::User(user),
            Controlled::Worker("host:1-a:b".to_owned()),
        ] {
            assert_eq!(Controlled::read(&what.to_string()), Some(what));
        }
        for other in ["", "queue", "user:somebody", "planet:earth"] {
            assert_eq!(Controlled::read(other), None, "{other}");
        }
    }
}
