//! Lists of a user's jobs, newest first.

use std::collections::BTreeSet;

use bson::{DateTime, Document, RawDocument, doc};
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
    /// depend on how many jobs there are, but for those of the same millisecond as the one before.
    ///
    /// A job that this version cannot read is left out. So are those of a kind that it does not know if states are asked for.
    pub async fn list(&self, wanted: &JobFilter, after: Option<&JobPosition>, limit: u32) -> Result<JobPage, Error> {
        let limit = limit.max(1);
        let query = self.documents.find(filter(wanted, after)).sort(doc! { "createdAt": -1, "_id": -1 });
        let query = query.limit(i64::from(limit) + 1).projection(doc! { "attempts": { "$slice": -1 } });
        let mut found = self.connection.collect(query).await?;
        let has_more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| has_more).map(|last| position(last)).transpose()?;
        let items = found.iter().filter_map(|job| decode_entry("job", job)).collect();
        Ok(JobPage { items, next })
    }
}

fn position(job: &RawDocument) -> Result<JobPosition, Error> {
    decode("job", job)
}

fn filter(wanted: &JobFilter, after: Option<&JobPosition>) -> Document {
    let mut states: Vec<&str> = wanted.states.iter().copied().map(JobState::as_str).collect();
    let mut kinds: Vec<&str> = wanted.kinds.iter().copied().collect();
    // The index has state and kind before the time. With all values of both the server merges as many sorted streams (at most 200),
    // each of which it opens at its place, and sorts nothing.
    if wanted.assets.is_empty() && states.is_empty() != kinds.is_empty() {
        if states.is_empty() {
            states.extend(JobState::ALL.map(JobState::as_str));
        } else {
            kinds.extend(Job::KINDS);
        }
    }
    let mut filter = doc! { "owner": object_id(wanted.owner.bytes()) };
    if !states.is_empty() {
        filter.insert("state", doc! { "$in": states });
    }
    if !kinds.is_empty() {
        filter.insert("kind", doc! { "$in": kinds });
    }
    // Jobs of an asset are few.
    if !wanted.assets.is_empty() {
        let assets: Vec<_> = wanted.assets.iter().map(|asset| object_id(asset.bytes())).collect();
        filter.insert("asset", doc! { "$in": assets });
    }
    match after {
        Some(JobPosition { created_at, id }) => {
            let time = DateTime::from(*created_at);
            filter.insert("createdAt", doc! { "$lte": time });
            filter.insert("$nor", vec![doc! { "createdAt": time, "_id": { "$gte": id.to_string() } }]);
        }
        // What the indexes are limited to.
        None => drop(filter.insert("createdAt", doc! { "$gt": DateTime::MIN })),
    }
    filter
}
