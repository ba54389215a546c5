//! One batch after another.

use std::collections::{HashMap, HashSet};

use bson::{Bson, DateTime, Document, doc};
use futures_util::{StreamExt, stream};
use messages::{ActionId, AssetId, FileId, JobId, Payload, UploadMedia};

use super::{Bulk, BulkAction, BulkDecision, BulkState};
use crate::{Asset, Decided, Error, JobPosition, JobRecord, JobState, Operator, Outcome, Spooled};

/// Jobs in a batch.
const SIZE: u32 = 500;
/// Discards, which share transactions, and cancellations, which do not, at once.
const DISCARDS_AT_ONCE: usize = 64;
const CANCELLATIONS_AT_ONCE: usize = 16;

/// The next jobs of an action.
#[derive(Debug)]
pub struct Batch {
    pub(super) action: ActionId,
    pub(super) decision: BulkDecision,
    /// Where the batch begins, as the action has it.
    pub(super) from: Option<JobPosition>,
    /// Where it ends; nothing at the end of all.
    pub(super) to: Option<JobPosition>,
    pub(super) jobs: Vec<JobRecord>,
    /// Of discarded uploads that are to be retried.
    pub(super) assets: HashMap<AssetId, Asset>,
    /// Jobs that must not be redriven.
    pub(super) lost: HashSet<JobId>,
}

/// Where an action stands after a look at it.
#[derive(Debug)]
pub enum Step {
    /// There is a batch to be done.
    Next(Box<Batch>),
    /// There is nothing more to do, and it should end so.
    End(Box<BulkAction>, BulkState),
    /// It has ended, or is gone.
    Over,
}

/// What a batch has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub done: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl Batch {
    /// Where the files of the uploads lie that are to be redriven: who has the spool says which are there no more.
    pub fn files(&self) -> Vec<(JobId, Spooled)> {
        let file = |job: &JobRecord| Some((job.id, self.assets.get(&job.asset?)?.spooled.clone()?));
        self.jobs.iter().filter_map(file).collect()
    }

    /// Leaves out jobs whose files are gone.
    pub fn without(&mut self, lost: impl IntoIterator<Item = JobId>) {
        self.lost.extend(lost);
    }
}

impl Bulk {
    /// What there is to do next of an action.
    pub async fn next(&self, id: ActionId) -> Result<Step, Error> {
        let Some(action) = self.find(id).await? else { return Ok(Step::Over) };
        if action.state.has_ended() {
            return Ok(Step::Over);
        }
        if action.stop {
            return Ok(Step::End(Box::new(action), BulkState::Stopped));
        }
        if action.is_through() {
            return Ok(Step::End(Box::new(action), BulkState::Completed));
        }
        let after = action.position.unwrap_or_else(|| before_all(&action));
        let page = self.jobs.search(&action.filter, Some(&after), SIZE).await?;
        let mut batch = Batch {
            action: id,
            decision: action.decision,
            from: action.position,
            to: page.next,
            jobs: page.items,
            assets: HashMap::new(),
            lost: HashSet::new(),
        };
        if action.decision == BulkDecision::Retry {
            let of_discarded = |job: &JobRecord| {
                job.asset.filter(|_| job.state == JobState::Discarded && job.kind == UploadMedia::KIND)
            };
            let assets: Vec<AssetId> = batch.jobs.iter().filter_map(of_discarded).collect();
            let assets = self.media.find_all(&assets).await?;
            batch.assets = assets.into_iter().map(|asset| (asset.id, asset)).collect();
        }
        Ok(Step::Next(Box::new(batch)))
    }

    /// Does a batch, and notes how far that is. Answers with files that nothing needs any more; the rest that is left to do a relay does.
    /// [`Error::Fenced`] if another attempt has done it meanwhile, a job has changed, or the action has ended: then look at it anew.
    pub async fn act(&self, operator: &Operator, batch: Batch) -> Result<Vec<FileId>, Error> {
        match batch.decision {
            BulkDecision::Retry => {
                self.retry(operator, batch).await?;
                Ok(Vec::new())
            }
            BulkDecision::Discard => self.end_each(operator, batch, DISCARDS_AT_ONCE).await,
            BulkDecision::Cancel => self.end_each(operator, batch, CANCELLATIONS_AT_ONCE).await,
        }
    }

    async fn end_each(&self, operator: &Operator, mut batch: Batch, at_once: usize) -> Result<Vec<FileId>, Error> {
        let (mut counts, mut files) = (Counts::default(), Vec::new());
        let jobs = std::mem::take(&mut batch.jobs);
        let ending = jobs.into_iter().map(|job| self.end_one(operator, &batch, job));
        let mut ended = stream::iter(ending).buffer_unordered(at_once);
        while let Some(ended) = ended.next().await {
            match ended? {
                Some(outcome) => {
                    counts.done += 1;
                    files.extend(outcome.files);
                }
                None => counts.skipped += 1,
            }
        }
        drop(ended);
        let note = self.documents.update_one(batch.place(), batch.note(counts));
        if self.connection.bounded(note).await?.matched_count == 0 {
            return Err(Error::Fenced);
        }
        Ok(files)
    }

    /// `None`: there is nothing to end.
    async fn end_one(&self, operator: &Operator, batch: &Batch, job: JobRecord) -> Result<Option<Outcome>, Error> {
        // Not itself.
        if job.state.is_finished() || is_of(&job, batch.action) {
            return Ok(None);
        }
        let id = job.id;
        let ended = match batch.decision {
            BulkDecision::Cancel => operator.cancel(id).await?,
            BulkDecision::Retry | BulkDecision::Discard => match operator.discard_found(job).await {
                Ok(outcome) => return Ok(Some(outcome)),
                // It has changed since it was read.
                Err(Error::Fenced) => operator.discard(id).await?,
                Err(error) => return Err(error),
            },
        };
        Ok(match ended {
            Decided::Done { outcome, .. } => Some(outcome),
            Decided::Refused(_) => None,
        })
    }
}

impl Batch {
    /// The action, if it is where the batch begins, and has not ended.
    pub(super) fn place(&self) -> Document {
        let from = self.from.as_ref().map_or(Bson::Null, |position| stored(position).into());
        doc! { "_id": self.action.to_string(), "state": { "$in": super::unended() }, "position": from }
    }

    /// Notes that it is done.
    pub(super) fn note(&self, counts: Counts) -> Document {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let to = self.to.as_ref().map_or_else(|| stored(&end_of_all()), stored);
        doc! {
            "$set": { "state": BulkState::Running.as_str(), "position": to },
            "$inc": {
                "done": whole(counts.done),
                "failed": whole(counts.failed),
                "skipped": whole(counts.skipped),
            },
            "$currentDate": { "updatedAt": true },
        }
    }
}

impl BulkAction {
    fn is_through(&self) -> bool {
        self.position == Some(end_of_all())
    }
}

/// A job that does an action.
pub(super) fn is_of(job: &JobRecord, action: ActionId) -> bool {
    job.data.get("action").and_then(serde_json::Value::as_str) == Some(action.to_string().as_str())
}

fn stored(JobPosition { created_at, id }: &JobPosition) -> Document {
    doc! { "createdAt": DateTime::from(*created_at), "_id": id.to_string() }
}

/// Newer than every job that is to be met.
fn before_all(action: &BulkAction) -> JobPosition {
    JobPosition { created_at: action.created_at, id: end_of_all().id }
}

/// Older than every job.
fn end_of_all() -> JobPosition {
    JobPosition { created_at: time::OffsetDateTime::UNIX_EPOCH, id: nil() }
}

/// The least of all ids.
fn nil() -> JobId {
    "00000000-0000-0000-0000-000000000000".parse().unwrap_or_else(|_| JobId::new())
}
