//! Lists of a user's jobs, newest first.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use bson::{DateTime, Document, RawDocument, RawDocumentBuf, doc};
use messages::{AssetId, Job, JobId, UserId};
use serde::Deserialize;
use serde_with::serde_as;
use time::OffsetDateTime;

use super::{JobRecord, JobState, Jobs};
use crate::Error;
use crate::codec::{BsonDateTime, decode, decode_entry, object_id};

/// Which jobs of a user to list: those that are in each set that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFilter {
    pub owner: UserId,
    pub states: BTreeSet<JobState>,
    /// Of [`Job::KINDS`].
    pub kinds: BTreeSet<&'static str>,
    pub assets: BTreeSet<AssetId>,
}

/// The last job of a part of a list. Ids are made by the clocks of several machines, so only together with the time of the database
/// they tell what is newer.
#[serde_as]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobPosition {
    /// To the millisecond.
    #[serde_as(as = "BsonDateTime")]
    pub created_at: OffsetDateTime,
    #[serde(rename = "_id")]
    pub id: JobId,
}

/// A part of a list of jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPage {
    /// Newest first by MongoDB's clock. Of its attempts each has the latest one only.
    pub items: Vec<JobRecord>,
    /// Where the next part begins, if there is more.
    pub next: Option<JobPosition>,
}

impl Jobs {
    /// Jobs of a user, newest first, at most `limit`; those `after` [`JobPage::next`] of the part before. What it looks at does not
    /// depend on how many jobs there are, but for those of the same millisecond as the one before, and for unfinished ones of the user
    /// if states or kinds are asked for.
    ///
    /// A job that this version cannot read is left out. So are finished ones of a kind that it does not know if states are asked for.
    pub async fn list(&self, wanted: &JobFilter, after: Option<&JobPosition>, limit: u32) -> Result<JobPage, Error> {
        let limit = limit.max(1);
        let mut found = Vec::new();
        // In this order: a job that ends in between is met twice, not missed.
        for filter in filters(wanted, after) {
            let query = self.documents.find(filter).sort(doc! { "createdAt": -1, "_id": -1 });
            let query = query.limit(i64::from(limit) + 1).projection(latest_attempt());
            for job in self.connection.collect::<RawDocumentBuf>(query).await? {
                found.push((position(&job)?, job));
            }
        }
        // Stable: of one that was met twice the later look is behind.
        found.sort_by_key(|(JobPosition { created_at, id }, _)| Reverse((*created_at, id.to_string())));
        found.dedup_by(|later, first| {
            let is_twice = later.0 == first.0;
            if is_twice {
                std::mem::swap(later, first);
            }
            is_twice
        });
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| has_more).map(|(position, _)| *position);
        let items = found.iter().filter_map(|(_, job)| decode_entry("job", job)).collect();
        Ok(JobPage { items, next })
    }
}

/// Where in a list a job is.
pub(super) fn position(job: &RawDocument) -> Result<JobPosition, Error> {
    decode("job", job)
}

/// Of its attempts the latest one only: there may be hundreds.
pub(super) fn latest_attempt() -> Document {
    doc! { "attempts": { "$slice": -1 } }
}

/// What to ask for. By states and kinds it is unfinished jobs, which are few, and finished ones, whose index is written once a job.
fn filters(wanted: &JobFilter, after: Option<&JobPosition>) -> Vec<Document> {
    let JobFilter { owner, states, kinds, assets } = wanted;
    let mut all = doc! { "owner": object_id(owner.bytes()) };
    match after {
        Some(JobPosition { created_at, id }) => {
            let time = DateTime::from(*created_at);
            all.insert("createdAt", doc! { "$lte": time });
            all.insert("$nor", vec![doc! { "createdAt": time, "_id": { "$gte": id.to_string() } }]);
        }
        // What an index is limited to.
        None => drop(all.insert("createdAt", doc! { "$gt": DateTime::MIN })),
    }
    if !kinds.is_empty() {
        all.insert("kind", doc! { "$in": kinds.iter().copied().collect::<Vec<_>>() });
    }
    if !assets.is_empty() {
        // Jobs of an asset are few.
        let assets: Vec<_> = assets.iter().map(|asset| object_id(asset.bytes())).collect();
        all.insert("asset", doc! { "$in": assets });
        if !states.is_empty() {
            all.insert("state", one_of(states.iter().copied()));
        }
        return vec![all];
    }
    if states.is_empty() && kinds.is_empty() {
        return vec![all];
    }
    let of_these = |state: &JobState| states.is_empty() || states.contains(state);
    let (ended, waiting): (Vec<_>, Vec<_>) =
        JobState::ALL.into_iter().filter(of_these).partition(|state| state.is_finished());
    let mut filters = Vec::new();
    if !waiting.is_empty() {
        let mut unfinished = all.clone();
        unfinished.extend(doc! { "dueAt": { "$exists": true }, "state": one_of(waiting) });
        filters.push(unfinished);
    }
    if !ended.is_empty() {
        // The index has state and kind before the time. With all values of both the server merges as many sorted streams (at most 200),
        // each of which it opens at its place, and sorts nothing.
        all.extend(doc! { "finishedAt": { "$exists": true }, "state": one_of(ended) });
        if kinds.is_empty() {
            all.insert("kind", doc! { "$in": Job::KINDS });
        }
        filters.push(all);
    }
    filters
}

fn one_of(states: impl IntoIterator<Item = JobState>) -> Document {
    doc! { "$in": states.into_iter().map(JobState::as_str).collect::<Vec<_>>() }
}
