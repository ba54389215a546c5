//! Actions on all jobs that match a filter.
//!
//! Such an action is a document and a job, which goes through the jobs that match, newest first, a batch after another. The document
//! says how far it has come. A batch of retries and that note are one transaction, so that an attempt that goes on where another one
//! was killed, or both at once, change nothing twice. Discards and cancellations end each job in a transaction of its own; of a batch
//! that is begun once more those that have ended are left as they are, and count as skipped.
//!
//! Only jobs are touched that existed when the action was asked for. There is nothing to undo but a discard, by a retry.

mod batch;
mod retry;

use bson::{Document, RawDocumentBuf, doc};
use messages::{ActOnJobs, ActionId, JobId, Payload};
use mongodb::ClientSession;
use mongodb::options::ReturnDocument;
use serde::Deserialize;
use serde_with::serde_as;
use time::OffsetDateTime;

use crate::audit::Audit;
use crate::clock::later;
use crate::codec::{BsonDateTime, decode, decode_found, encode, object_id};
use crate::connection::{Connection, Documents};
use crate::indexes::{Wanted, expiring, plain};
use crate::jobs::{Jobs, Search};
use crate::{Actor, AuditId, AuditOutcome, Discard, End, Error, JobPosition, JobRecord, JobState, Media, Settle};

pub use batch::{Batch, Step};

/// For how long an action is kept.
const KEPT: std::time::Duration = std::time::Duration::from_secs(400 * 24 * 60 * 60);

/// What is done with each job. The names are permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BulkDecision {
    Retry,
    Discard,
    Cancel,
}

impl BulkDecision {
    pub const ALL: [Self; 3] = [Self::Retry, Self::Discard, Self::Cancel];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
            Self::Cancel => "cancel",
        }
    }

    /// Whether there is anything to do with a job in a state.
    pub const fn is_for(self, state: JobState) -> bool {
        match self {
            Self::Retry => matches!(state, JobState::Discarded | JobState::Retryable),
            Self::Discard | Self::Cancel => !state.is_finished(),
        }
    }
}

/// Where an action stands. The names are permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BulkState {
    /// No worker has begun it.
    Pending,
    Running,
    /// Every job that matched has been met.
    Completed,
    /// Somebody has stopped it; what it had changed by then is changed.
    Stopped,
    /// It was given up for a reason; what it had changed by then is changed.
    Failed,
}

impl BulkState {
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Stopped, Self::Failed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Stopped | Self::Failed)
    }
}

/// An action that is asked for.
#[derive(Debug)]
pub struct NewBulkAction {
    pub decision: BulkDecision,
    /// Which jobs. Not everything: that is for the caller to refuse.
    pub filter: Search,
    pub by: Actor,
    /// The client's address.
    pub from: Option<String>,
    /// Its entry in the audit, which is completed when it has ended.
    pub audit: AuditId,
    /// How many matched when it was asked for, and whether there were more.
    pub matched: u64,
    pub matched_more: bool,
}

/// An action on all jobs that match.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkAction {
    #[serde(rename = "_id")]
    pub id: ActionId,
    #[serde(rename = "action")]
    pub decision: BulkDecision,
    pub filter: Search,
    pub by: Actor,
    pub from: Option<String>,
    audit: String,
    /// The job that does it.
    pub job: JobId,
    pub state: BulkState,
    /// Why it was given up.
    pub reason: Option<String>,
    /// Whether somebody wants it stopped.
    #[serde(default)]
    pub stop: bool,
    /// How many matched when it was asked for, and whether there were more.
    pub matched: u64,
    pub matched_more: bool,
    /// Jobs that it has changed.
    pub done: u64,
    /// Jobs that could not be changed: their file is gone, they can never succeed, or something newer is in their place.
    pub failed: u64,
    /// Jobs in which there was nothing to change when they were met.
    pub skipped: u64,
    /// How far it has come: those that are newer are done.
    pub position: Option<JobPosition>,
    #[serde_as(as = "BsonDateTime")]
    pub created_at: OffsetDateTime,
    #[serde_as(as = "BsonDateTime")]
    pub updated_at: OffsetDateTime,
    #[serde_as(as = "Option<BsonDateTime>")]
    pub ended_at: Option<OffsetDateTime>,
}

/// The last action of a part of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkPosition {
    /// To the millisecond.
    pub created_at: OffsetDateTime,
    pub id: ActionId,
}

/// A part of the list of actions.
#[derive(Debug, Clone, PartialEq)]
pub struct BulkPage {
    /// Newest first.
    pub items: Vec<BulkAction>,
    /// Where the next part begins, if there is more.
    pub next: Option<BulkPosition>,
}

/// Actions on all jobs that match a filter.
#[derive(Debug, Clone)]
pub struct Bulk {
    connection: Connection,
    documents: Documents,
    assets: Documents,
    jobs: Jobs,
    media: Media,
    audit: Audit,
}

impl Bulk {
    pub(crate) fn new(jobs: &Jobs, media: &Media, audit: &Audit) -> Self {
        Self {
            connection: jobs.connection.clone(),
            documents: jobs.connection.collection("bulk_actions"),
            assets: jobs.connection.collection("assets"),
            jobs: jobs.clone(),
            media: media.clone(),
            audit: audit.clone(),
        }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        let indexes = [plain(doc! { "createdAt": -1, "_id": -1 }), expiring()];
        indexes.map(|index| (self.documents.clone(), index)).into()
    }

    /// Writes an action with the job that does it. A second call makes another one.
    pub async fn begin(&self, new: NewBulkAction) -> Result<BulkAction, Error> {
        let (id, now) = (ActionId::new(), self.connection.now().await?);
        let job =
            self.jobs.new_job(JobId::new(), &messages::Job::from(ActOnJobs { action: id }), None, None, None, now);
        let filter = bson::serialize_to_bson(&new.filter).map_err(|cause| Error::Database(cause.into()))?;
        let mut by = doc! { "name": new.by.name };
        by.extend(new.by.user.map(|user| ("user".to_owned(), object_id(user.bytes()).into())));
        let mut action = doc! {
            "_id": id.to_string(),
            "action": new.decision.as_str(),
            "filter": filter,
            "by": by,
            "audit": new.audit.to_string(),
            "job": job.id.to_string(),
            "state": BulkState::Pending.as_str(),
            "matched": i64::try_from(new.matched).unwrap_or(i64::MAX),
            "matchedMore": new.matched_more,
            "done": 0_i64,
            "failed": 0_i64,
            "skipped": 0_i64,
            "createdAt": now,
            "updatedAt": now,
            "expireAt": later(now, KEPT),
        };
        action.extend(new.from.map(|from| ("from".to_owned(), from.into())));
        let mut written = (encode(&action)?, job);
        self.connection
            .transaction(self, &mut written, |bulk, session, (action, job)| Box::pin(bulk.insert(session, action, job)))
            .await?;
        decode("action", &written.0)
    }

    async fn insert(&self, session: &mut ClientSession, action: &RawDocumentBuf, job: &JobRecord) -> Result<(), Error> {
        self.documents.insert_one(action).session(&mut *session).await?;
        self.jobs.documents.insert_one(encode(job)?).session(session).await?;
        Ok(())
    }

    pub async fn find(&self, id: ActionId) -> Result<Option<BulkAction>, Error> {
        let query = self.documents.find_one(doc! { "_id": id.to_string() });
        decode_found("action", self.connection.bounded(query).await?)
    }

    /// Actions, newest first, at most `limit`; those `after` [`BulkPage::next`] of the part before.
    pub async fn list(&self, after: Option<BulkPosition>, limit: u32) -> Result<BulkPage, Error> {
        let filter = after.map_or_else(Document::new, |BulkPosition { created_at, id }| {
            let at = bson::DateTime::from(created_at);
            doc! { "createdAt": { "$lte": at }, "$nor": [{ "createdAt": at, "_id": { "$gte": id.to_string() } }] }
        });
        let limit = limit.max(1);
        let query = self.documents.find(filter).sort(doc! { "createdAt": -1, "_id": -1 }).limit(i64::from(limit) + 1);
        let found: Vec<RawDocumentBuf> = self.connection.collect(query).await?;
        let mut items: Vec<BulkAction> =
            found.iter().map(|action| decode("action", action)).collect::<Result<_, _>>()?;
        let has_more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| has_more);
        let next = next.map(|last| BulkPosition { created_at: last.created_at, id: last.id });
        Ok(BulkPage { items, next })
    }

    /// Has an action stopped: before its next batch, which is soon. `None`: there is no such action, or it has ended. A second call
    /// changes nothing.
    pub async fn stop(&self, id: ActionId) -> Result<Option<BulkAction>, Error> {
        let unended = doc! { "_id": id.to_string(), "state": { "$in": unended() } };
        let stop = vec![doc! { "$set": { "stop": true, "updatedAt": "$$NOW" } }];
        let stopping = self.documents.find_one_and_update(unended, stop).return_document(ReturnDocument::After);
        decode_found("action", self.connection.bounded(stopping).await?)
    }

    /// Writes that an action has ended, in the transaction that ends its job, and completes its entry in the audit.
    pub async fn end(&self, settle: &mut Settle<'_>, action: &BulkAction, state: BulkState) -> Result<(), Error> {
        let now = settle.now();
        let update = doc! { "$set": { "state": state.as_str(), "updatedAt": now, "endedAt": now } };
        let unended = doc! { "_id": action.id.to_string(), "state": { "$in": unended() } };
        let before = settle.update(&self.documents, unended, update, doc! {}).await?;
        // What it has changed by now.
        if let Some(action) = decode_found::<BulkAction>("action", before)? {
            let outcome = AuditOutcome::Done { count: action.done };
            self.audit.end_in(settle, &action.audit, &outcome).await?;
        }
        Ok(())
    }

    /// What it means that the job of an action is discarded: the action has failed.
    pub async fn discard_action(&self, settle: &mut Settle<'_>, discard: &Discard) -> Result<End, Error> {
        if let Ok(ActOnJobs { action }) = ActOnJobs::from_data(settle.job().data.clone()) {
            let now = settle.now();
            let failed = doc! {
                "state": BulkState::Failed.as_str(),
                "reason": &discard.reason,
                "updatedAt": now,
                "endedAt": now,
            };
            let unended = doc! { "_id": action.to_string(), "state": { "$in": unended() } };
            let before = settle.update(&self.documents, unended, doc! { "$set": failed }, doc! {}).await?;
            if let Some(action) = decode_found::<BulkAction>("action", before)? {
                let reason = format!("after {} changed: {}", action.done, discard.reason);
                self.audit.end_in(settle, &action.audit, &AuditOutcome::Failed { reason }).await?;
            }
        }
        Ok(End::Discarded(discard.clone()))
    }
}

fn unended() -> Vec<&'static str> {
    BulkState::ALL.into_iter().filter(|state| !state.has_ended()).map(BulkState::as_str).collect()
}
