//! A batch of retries: one transaction with the note of how far the action has come. Each job is changed as
//! [`Operator::retry`](crate::Operator::retry) would, but for few statements for all of them.

use std::collections::HashSet;

use bson::{DateTime, doc};
use messages::{JobId, Payload, UploadMedia};
use mongodb::ClientSession;

use super::Bulk;
use super::batch::{Batch, Counts, is_of};
use crate::codec::object_id;
use crate::error::duplicate_key;
use crate::jobs::transitions;
use crate::{Asset, AssetState, Error, JobRecord, JobState, Operator, Retried, Role, public_id};

/// What is to be done in the transaction.
#[derive(Debug, Default)]
struct Plan {
    /// Wait for their next attempt.
    hurried: Vec<JobId>,
    /// Discarded, and nothing but a job: redriven as they are.
    redriven: Vec<JobId>,
    /// Discarded uploads with their assets, which are nobody's image.
    uploads: Vec<(JobId, u32, Asset)>,
    counts: Counts,
}

impl Bulk {
    pub(super) async fn retry(&self, operator: &Operator, batch: Batch) -> Result<(), Error> {
        let (mut plan, singly) = self.plan(&batch).await?;
        // An image takes the place of others, so each is judged by itself. They are few.
        for id in singly {
            count_one(&mut plan.counts, &operator.retry(id).await?);
        }
        let mut making = (batch, plan);
        let made = self
            .connection
            .transaction(self, &mut making, |bulk, session, (batch, plan)| {
                Box::pin(bulk.retry_in(session, batch, plan))
            })
            .await;
        match made {
            // Somebody has submitted the same as one of them meanwhile: each by itself then.
            Err(Error::Database(cause)) if duplicate_key(&cause).is_some() => {
                let (batch, plan) = making;
                self.retry_singly(operator, &batch, &plan).await
            }
            made => made,
        }
    }

    /// What to do with each job, and those that must be looked at one by one.
    async fn plan(&self, batch: &Batch) -> Result<(Plan, Vec<JobId>), Error> {
        let (mut plan, mut singly) = (Plan::default(), Vec::new());
        let keys: Vec<String> = batch.jobs.iter().filter_map(|job| job.unique_key.clone()).collect();
        let mut taken = if keys.is_empty() { HashSet::new() } else { self.jobs.unfinished_of(&keys).await? };
        for job in &batch.jobs {
            let asset = job.asset.and_then(|asset| batch.assets.get(&asset));
            match job.state {
                JobState::Retryable => plan.hurried.push(job.id),
                JobState::Discarded if !is_redrivable(job, batch) => plan.counts.failed += 1,
                JobState::Discarded if job.kind == UploadMedia::KIND => match asset {
                    Some(asset) if asset.state != AssetState::Failed || asset.spooled.is_none() => {
                        plan.counts.failed += 1;
                    }
                    Some(asset) if asset.role == Role::Media => {
                        plan.uploads.push((job.id, job.attempt, asset.clone()));
                    }
                    Some(_) => singly.push(job.id),
                    None => plan.counts.failed += 1,
                },
                // The first of those that do the same, the newest, is redriven.
                JobState::Discarded if job.unique_key.clone().is_some_and(|key| !taken.insert(key)) => {
                    plan.counts.failed += 1;
                }
                JobState::Discarded => plan.redriven.push(job.id),
                _ => plan.counts.skipped += 1,
            }
        }
        Ok((plan, singly))
    }

    async fn retry_in(&self, session: &mut ClientSession, batch: &Batch, plan: &Plan) -> Result<(), Error> {
        let jobs = &self.jobs.documents;
        let mut counts = plan.counts;
        let mut made = 0;
        if !plan.hurried.is_empty() {
            let hurrying = jobs.update_many(transitions::not_due(&plan.hurried), transitions::hurry());
            made += hurrying.session(&mut *session).await?.modified_count;
        }
        if !plan.redriven.is_empty() {
            let redriving = jobs.update_many(discarded(&plan.redriven), transitions::redrive(false));
            made += redriving.session(&mut *session).await?.modified_count;
        }
        for anew in [false, true] {
            let of_these: Vec<_> = plan.uploads.iter().filter(|(.., asset)| asset.name_spent == anew).collect();
            if of_these.is_empty() {
                continue;
            }
            // Each job first: one that somebody else has redriven since it was read leaves its asset alone.
            let ids: Vec<JobId> = of_these.iter().map(|(id, ..)| *id).collect();
            let redriven = jobs.update_many(discarded(&ids), transitions::redrive(anew)).session(&mut *session).await?;
            if redriven.modified_count != ids.len() as u64 {
                return Err(Error::Fenced);
            }
            made += redriven.modified_count;
            self.pend(session, &of_these).await?;
        }
        let tried = plan.hurried.len() + plan.redriven.len() + plan.uploads.len();
        counts.done += made;
        counts.skipped += (tried as u64).saturating_sub(made);
        let noted = self.documents.update_one(batch.place(), batch.note(counts)).session(session).await?;
        if noted.matched_count == 0 { Err(Error::Fenced) } else { Ok(()) }
    }

    /// Makes assets pending again, as a redrive does.
    async fn pend(&self, session: &mut ClientSession, uploads: &[&(JobId, u32, Asset)]) -> Result<(), Error> {
        let now: DateTime = self.connection.now().await?;
        let update = |(_, attempt, asset): &&(JobId, u32, Asset)| {
            let mut set = doc! { "state": AssetState::Pending.as_str(), "updatedAt": now };
            if asset.name_spent {
                set.insert("publicId", format!("{}-{attempt}", public_id(asset.role, asset.id)));
            }
            let failed = doc! {
                "_id": object_id(asset.id.bytes()),
                "state": AssetState::Failed.as_str(),
                "spool": { "$exists": true },
                // By what its name was chosen.
                "nameSpent": if asset.name_spent { doc! { "$eq": true } } else { doc! { "$exists": false } },
            };
            doc! { "q": failed, "u": { "$set": set, "$unset": { "reason": "", "code": "", "nameSpent": "" } } }
        };
        self.connection.update_all(session, &self.assets, uploads.iter().map(update).collect()).await
    }

    /// Retries each by itself, and notes that.
    async fn retry_singly(&self, operator: &Operator, batch: &Batch, plan: &Plan) -> Result<(), Error> {
        let mut counts = plan.counts;
        let uploads = plan.uploads.iter().map(|(id, ..)| id);
        for id in plan.hurried.iter().chain(&plan.redriven).chain(uploads) {
            count_one(&mut counts, &operator.retry(*id).await?);
        }
        let noted = self.connection.bounded(self.documents.update_one(batch.place(), batch.note(counts))).await?;
        if noted.matched_count == 0 { Err(Error::Fenced) } else { Ok(()) }
    }
}

fn count_one(counts: &mut Counts, retried: &Retried) {
    match retried {
        Retried::Redriven(_) | Retried::Hurried(_) => counts.done += 1,
        Retried::Due(_) => counts.skipped += 1,
        Retried::Refused(_) => counts.failed += 1,
    }
}

fn is_redrivable(job: &JobRecord, batch: &Batch) -> bool {
    job.replayable && !batch.lost.contains(&job.id) && !is_of(job, batch.action)
}

/// Jobs that may be redriven.
fn discarded(ids: &[JobId]) -> bson::Document {
    let mut filter = transitions::all_discarded(ids, JobState::Pending);
    filter.insert("replayable", true);
    filter
}
