//! The audit: what admins did, who, when, from where, and how much it changed.
//!
//! **An entry is there before the action begins**, durably, and is completed when it has ended. So nothing that happened is missing,
//! also not what is no transaction of ours, such as a message that goes to the broker. Of an action whose process died in between the
//! entry stays `begun`: it may have happened, in part or not at all. If an entry cannot be written the action does not begin.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use messages::UserId;
use serde::Deserialize;
use serde_with::serde_as;
use time::OffsetDateTime;

use crate::Error;
use crate::clock::later;
use crate::codec::{BsonDateTime, UserObjectId, decode, encode, object_id};
use crate::connection::{Connection, Documents};
use crate::indexes::{Wanted, expiring, plain};
use crate::jobs::Settle;

/// For how long an entry is kept.
const KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// Characters of a text that are kept.
const MAX_TEXT: usize = 2000;

/// Names an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditId(ObjectId);

/// Who acts.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Actor {
    /// Nobody who has an account, if it is the command line.
    #[serde_as(as = "Option<UserObjectId>")]
    pub user: Option<UserId>,
    /// Their name at that time.
    pub name: String,
}

impl Actor {
    /// Whoever may run our programs.
    pub fn command_line() -> Self {
        Self { user: None, name: "command line".to_owned() }
    }
}

/// What is acted upon.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// Such as `job`.
    pub kind: String,
    pub id: String,
}

impl Target {
    pub fn new(kind: &str, id: &dyn std::fmt::Display) -> Self {
        Self { kind: kind.to_owned(), id: id.to_string() }
    }
}

/// An action that is about to begin.
#[derive(Debug, Clone)]
pub struct Act {
    pub by: Actor,
    /// The client's address. None of the command line.
    pub from: Option<String>,
    /// Such as `job.retry`. Permanent.
    pub action: &'static str,
    pub target: Option<Target>,
    /// What else was asked for, for people. No secrets.
    pub detail: Option<String>,
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It has changed so many things; none if all was so already.
    Done { count: u64 },
    /// It was refused or has failed, for a reason. It has changed nothing unless the reason says so.
    Failed { reason: String },
}

/// An entry.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    #[serde(rename = "_id")]
    id: ObjectId,
    /// When the action began.
    #[serde_as(as = "BsonDateTime")]
    pub at: OffsetDateTime,
    pub by: Actor,
    pub from: Option<String>,
    pub action: String,
    pub target: Option<Target>,
    pub detail: Option<String>,
    /// `begun`, `done` or `failed`. What stays `begun` may have happened.
    pub outcome: String,
    /// Why it has failed.
    pub reason: Option<String>,
    /// How many things it has changed; nothing as long as it is not done.
    pub count: Option<u64>,
    #[serde_as(as = "Option<BsonDateTime>")]
    pub ended_at: Option<OffsetDateTime>,
}

impl AuditEntry {
    pub fn id(&self) -> AuditId {
        AuditId(self.id)
    }

    pub fn position(&self) -> AuditPosition {
        AuditPosition { at: self.at, id: self.id() }
    }
}

/// The last entry of a part of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPosition {
    /// To the millisecond.
    pub at: OffsetDateTime,
    pub id: AuditId,
}

/// A part of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// Newest first.
    pub items: Vec<AuditEntry>,
    /// Where the next part begins, if there is more.
    pub next: Option<AuditPosition>,
}

#[derive(Debug, Clone)]
pub struct Audit {
    connection: Connection,
    documents: Documents,
}

impl Audit {
    pub(crate) fn new(connection: &Connection) -> Self {
        Self { connection: connection.clone(), documents: connection.collection("audit") }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        let lists = [plain(doc! { "at": -1, "_id": -1 }), expiring()];
        lists.map(|index| (self.documents.clone(), index)).into()
    }

    /// Notes that an action begins. Only when this has answered may it begin. A second call notes another one.
    pub async fn begin(&self, act: Act) -> Result<AuditId, Error> {
        let Act { by, from, action, target, detail } = act;
        let (id, now) = (ObjectId::new(), self.connection.now().await?);
        let mut who = doc! { "name": by.name };
        who.extend(by.user.map(|user| ("user".to_owned(), object_id(user.bytes()).into())));
        let mut entry = doc! {
            "_id": id,
            "at": now,
            "by": who,
            "action": action,
            "outcome": "begun",
            "expireAt": later(now, KEPT),
        };
        entry.extend(from.map(|from| ("from".to_owned(), from.into())));
        entry.extend(target.map(|Target { kind, id }| ("target".to_owned(), doc! { "kind": kind, "id": id }.into())));
        entry.extend(detail.map(|detail| ("detail".to_owned(), kept(&detail))));
        self.connection.bounded(self.documents.insert_one(encode(&entry)?)).await?;
        Ok(AuditId(id))
    }

    /// Notes how an action has ended. If that fails the entry stays `begun`. A second call replaces what the first one noted.
    pub async fn end(&self, id: AuditId, outcome: &AuditOutcome) -> Result<(), Error> {
        let set = match outcome {
            AuditOutcome::Done { count } => {
                doc! { "outcome": "done", "count": i64::try_from(*count).unwrap_or(i64::MAX), "endedAt": "$$NOW" }
            }
            AuditOutcome::Failed { reason } => {
                doc! { "outcome": "failed", "reason": { "$literal": kept(reason) }, "endedAt": "$$NOW" }
            }
        };
        let update = vec![doc! { "$set": set }];
        self.connection.bounded(self.documents.update_one(doc! { "_id": id.0 }, update)).await?;
        Ok(())
    }

    /// The same in the transaction that ends a job. `id`: as it was displayed.
    pub(crate) async fn end_in(&self, settle: &Settle<'_>, id: &str, outcome: &AuditOutcome) -> Result<(), Error> {
        let Ok(id) = id.parse::<ObjectId>() else { return Ok(()) };
        let mut set = match outcome {
            AuditOutcome::Done { count } => {
                doc! { "outcome": "done", "count": i64::try_from(*count).unwrap_or(i64::MAX) }
            }
            AuditOutcome::Failed { reason } => doc! { "outcome": "failed", "reason": kept(reason) },
        };
        set.insert("endedAt", settle.now());
        settle.update(&self.documents, doc! { "_id": id }, doc! { "$set": set }, doc! { "_id": 1 }).await?;
        Ok(())
    }

    /// Entries, the newest first, at most `limit`; those `after` [`AuditPage::next`] of the part before.
    pub async fn list(&self, after: Option<AuditPosition>, limit: u32) -> Result<AuditPage, Error> {
        let filter = after.map_or_else(Document::new, |AuditPosition { at, id }| {
            let at = DateTime::from(at);
            doc! { "at": { "$lte": at }, "$nor": [{ "at": at, "_id": { "$gte": id.0 } }] }
        });
        let limit = limit.max(1);
        let query = self.documents.find(filter).sort(doc! { "at": -1, "_id": -1 }).limit(i64::from(limit) + 1);
        let found: Vec<RawDocumentBuf> = self.connection.collect(query).await?;
        let mut items: Vec<AuditEntry> =
            found.iter().map(|entry| decode("audit entry", entry)).collect::<Result<_, _>>()?;
        let has_more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| has_more).map(AuditEntry::position);
        Ok(AuditPage { items, next })
    }
}

/// As much of a text as an entry has room for.
fn kept(text: &str) -> Bson {
    text.chars().take(MAX_TEXT).collect::<String>().into()
}

impl std::fmt::Display for AuditId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

impl std::str::FromStr for AuditId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.parse().map(Self).map_err(|_| Error::NotFound { what: "audit entry" })
    }
}
