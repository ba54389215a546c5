//! How those who run the system find jobs: any of them, by anything that is known of them, newest first, however many there are.
//!
//! A search goes by the one index that leaves the least (see [`streams`]). What the index does not know is asked of the documents that
//! it leads to, of so many a page and not more; where that is not enough for a page, the page says how far it has looked, and the next
//! one goes on there.

mod around;
mod streams;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use bson::{DateTime, Document, RawDocumentBuf, doc};
use messages::{AssetId, UserId};
use mongodb::IndexModel;
use mongodb::options::Hint;
use serde::{Deserialize, Serialize};
use serde_with::{serde_as, skip_serializing_none};
use time::OffsetDateTime;

use super::listing::{latest_attempt, position};
use super::{Counted, JobPosition, JobRecord, JobState, Jobs};
use crate::Error;
use crate::codec::{AssetObjectId, BsonDateTime, UserObjectId, decode_entry, whole};
use crate::error_groups::ErrorGroupId;
use streams::{Stream, Unfinished};

pub use around::{Around, JobEvent};

/// Documents of which a part of a page asks what their index does not know.
const LOOKED_AT: u64 = 500;
/// The same of a count, of which there is one and not a page after another.
const COUNTED: u64 = 2_000;
/// Unfinished jobs that are sorted when they are found. If there are more, most of the newest jobs are unfinished.
const FEW: u64 = 1_000;
/// The server stops after that: far more than it ever needs.
const LIMIT: Duration = Duration::from_secs(5);

/// Which jobs to find: those that fit everything that is given. Nothing given: all.
#[serde_as]
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Search {
    /// In one of these states; any if it is empty.
    pub states: BTreeSet<JobState>,
    /// Of one of these kinds; any if it is empty, of those that this version knows if something else is given too.
    pub kinds: BTreeSet<String>,
    /// As it stands in jobs, such as `media.upload.here`, or the name that those of all spools begin with, such as `media.upload`.
    pub queue: Option<String>,
    #[serde_as(as = "Option<UserObjectId>")]
    pub owner: Option<UserId>,
    /// Whose latest failure is in this group, also if they have ended well since.
    pub error_group: Option<ErrorGroupId>,
    /// Of which this worker has made an attempt.
    pub worker: Option<String>,
    #[serde_as(as = "Option<AssetObjectId>")]
    pub asset: Option<AssetId>,
    /// Accepted at this time or later.
    #[serde_as(as = "Option<BsonDateTime>")]
    pub from: Option<OffsetDateTime>,
    /// Accepted before this time.
    #[serde_as(as = "Option<BsonDateTime>")]
    pub until: Option<OffsetDateTime>,
}

/// A part of what is found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchPage {
    /// Newest first by MongoDB's clock. Of its attempts each has the latest one only.
    pub items: Vec<JobRecord>,
    /// Where the next part begins, if there may be more.
    pub next: Option<JobPosition>,
    /// The page has fewer items than were asked for, because it has looked at so many jobs that do not fit: at all that are as new as
    /// this or newer.
    pub searched_to: Option<OffsetDateTime>,
}

/// What was read of a stream.
struct Part {
    found: Vec<(JobPosition, RawDocumentBuf)>,
    /// How far it was looked at, if it goes on.
    looked_to: Option<JobPosition>,
}

/// Indexes of searches. Each is written once a job: when it is accepted, when it has ended, or when it fails in another way than
/// before.
pub(super) fn indexes() -> Vec<IndexModel> {
    streams::indexes()
}

impl Search {
    /// Whether it finds every job.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Jobs {
    /// Jobs that fit, newest first, at most `limit`; those `after` [`SearchPage::next`] of the part before. How many documents it looks
    /// at does not depend on how many there are, but for those of the same millisecond as the one before: it may bring fewer jobs than
    /// there are, even none, and say where to go on.
    ///
    /// A job that this version cannot read is left out. So are finished ones of a kind that it does not know, unless that kind is
    /// asked for, if states, kinds or a queue are.
    pub async fn search(&self, wanted: &Search, after: Option<&JobPosition>, limit: u32) -> Result<SearchPage, Error> {
        let limit = limit.max(1);
        let plan = streams::plan(wanted);
        let (mut found, mut horizon) = (Vec::new(), None);
        let mut take = |part: Part| {
            found.extend(part.found);
            // The newest: nobody has looked at all streams beyond it.
            horizon = std::cmp::max_by_key(horizon, part.looked_to, |at| at.as_ref().map(order));
        };
        // In this order: a job that ends in between is met twice, not missed.
        if let Some(unfinished) = &plan.unfinished {
            take(self.read(self.of_unfinished(unfinished).await?, wanted, after, limit).await?);
        }
        if let Some(stream) = &plan.stream {
            take(self.read(stream, wanted, after, limit).await?);
        }
        // Stable: of one that was met twice the later look is behind.
        found.sort_by_key(|(position, _)| Reverse(order(position)));
        found.dedup_by(|later, first| {
            let is_twice = later.0 == first.0;
            if is_twice {
                std::mem::swap(later, first);
            }
            is_twice
        });
        if let Some(horizon) = &horizon {
            found.retain(|(position, _)| order(position) >= order(horizon));
        }
        let is_full = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = if is_full { found.last().map(|(position, _)| *position) } else { horizon };
        let searched_to = horizon.filter(|_| !is_full).map(|position| position.created_at);
        let items = found.iter().filter_map(|(_, job)| decode_entry("job", job)).collect();
        Ok(SearchPage { items, next, searched_to })
    }

    /// How many jobs fit, counted up to `cap`. Where an index does not know everything that is asked for, it looks at so many documents
    /// and not more, and says that there may be more than it has counted.
    pub async fn count(&self, wanted: &Search, cap: u64) -> Result<Counted, Error> {
        let plan = streams::plan(wanted);
        let (mut count, mut more) = (0, false);
        if let Some(unfinished) = &plan.unfinished {
            let counted = self.count_of(&unfinished.few, wanted, cap).await?;
            (count, more) = (counted.count, counted.more);
        }
        if let Some(stream) = &plan.stream {
            let counted = self.count_of(stream, wanted, cap).await?;
            (count, more) = (count + counted.count, more || counted.more);
        }
        Ok(Counted { count: count.min(cap), more: more || count > cap })
    }

    /// By what unfinished jobs are read: if they are few they are all looked at, and otherwise jobs from the newest on.
    async fn of_unfinished<'a>(&self, unfinished: &'a Unfinished) -> Result<&'a Stream, Error> {
        let few = self.counted(unfinished.few.lead.clone(), &unfinished.few.index, FEW + 1).await? <= FEW;
        Ok(if few { &unfinished.few } else { &unfinished.many })
    }

    async fn read(
        &self,
        stream: &Stream,
        wanted: &Search,
        after: Option<&JobPosition>,
        limit: u32,
    ) -> Result<Part, Error> {
        let looked_to = if stream.is_sorted && !stream.residual.is_empty() {
            self.look_to(stream, wanted, after).await?
        } else {
            None
        };
        let mut filter = stream.lead.clone();
        filter.extend(window(wanted, after, looked_to.as_ref()));
        filter.extend(stream.residual.clone());
        let query = self.documents.find(filter).hint(Hint::Keys(stream.index.clone())).sort(newest_first());
        let query = query.limit(i64::from(limit) + 1).projection(latest_attempt()).max_time(LIMIT);
        let found: Vec<RawDocumentBuf> = self.connection.collect(query).await.map_err(too_early)?;
        let found = found.into_iter().map(|job| Ok((position(&job)?, job))).collect::<Result<_, Error>>()?;
        Ok(Part { found, looked_to })
    }

    /// How far a page looks in a stream. `None`: to its end.
    async fn look_to(
        &self,
        stream: &Stream,
        wanted: &Search,
        after: Option<&JobPosition>,
    ) -> Result<Option<JobPosition>, Error> {
        let mut filter = stream.lead.clone();
        filter.extend(window(wanted, after, None));
        let query = self.documents.find_one(filter).hint(Hint::Keys(stream.index.clone())).sort(newest_first());
        let query = query.skip(LOOKED_AT - 1).projection(doc! { "createdAt": 1 }).max_time(LIMIT);
        let found = self.connection.bounded(query).await.map_err(too_early)?;
        found.map(|job| position(&job)).transpose()
    }

    async fn count_of(&self, stream: &Stream, wanted: &Search, cap: u64) -> Result<Counted, Error> {
        let (mut lead, mut residual) = (stream.lead.clone(), stream.residual.clone());
        let window = window(wanted, None, None);
        if stream.is_sorted {
            lead.extend(window);
        } else if wanted.from.is_some() || wanted.until.is_some() {
            residual.extend(window);
        }
        if residual.is_empty() && stream.is_covered {
            let count = self.counted(lead, &stream.index, cap.saturating_add(1)).await?;
            return Ok(Counted { count, more: false });
        }
        let looked_at = self.counted(lead.clone(), &stream.index, COUNTED + 1);
        let fitting = [
            doc! { "$match": lead },
            doc! { "$limit": i64::try_from(COUNTED).unwrap_or(i64::MAX) },
            doc! { "$match": residual },
            doc! { "$count": "count" },
        ];
        let fitting = self.documents.aggregate(fitting).hint(Hint::Keys(stream.index.clone())).max_time(LIMIT);
        let (looked_at, fitting) = tokio::try_join!(looked_at, self.connection.collect::<Document>(fitting))?;
        let count = fitting.first().and_then(|found| found.get("count")).and_then(whole);
        let count = count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default();
        Ok(Counted { count, more: looked_at > COUNTED })
    }

    async fn counted(&self, filter: Document, index: &Document, limit: u64) -> Result<u64, Error> {
        let counting = self.documents.count_documents(filter).limit(limit).hint(Hint::Keys(index.clone()));
        self.connection.bounded(counting.max_time(LIMIT)).await.map_err(too_early)
    }
}

/// An index that is not there yet is made by the first program of this release that starts. Until then a search would look at all
/// jobs.
fn too_early(error: Error) -> Error {
    match error {
        Error::Database(cause) if cause.to_string().contains("hint provided does not correspond") => {
            Error::Unavailable("the indexes of searches are not made yet".into())
        }
        error => error,
    }
}

/// The greatest is the newest.
fn order(position: &JobPosition) -> (OffsetDateTime, String) {
    (position.created_at, position.id.to_string())
}

fn newest_first() -> Document {
    doc! { "createdAt": -1, "_id": -1 }
}

/// From behind `after` to `bound`, and what of that is wanted.
fn window(wanted: &Search, after: Option<&JobPosition>, bound: Option<&JobPosition>) -> Document {
    let (mut created, mut outside) = (Document::new(), Vec::new());
    let from = wanted.from.max(bound.map(|bound| bound.created_at));
    match from {
        Some(from) => created.insert("$gte", DateTime::from(from)),
        // What an index is limited to.
        None => created.insert("$gt", DateTime::MIN),
    };
    if let Some(until) = wanted.until {
        created.insert("$lt", DateTime::from(until));
    }
    if let Some(JobPosition { created_at, id }) = after {
        let time = DateTime::from(*created_at);
        created.insert("$lte", time);
        outside.push(doc! { "createdAt": time, "_id": { "$gte": id.to_string() } });
    }
    if let Some(JobPosition { created_at, id }) = bound {
        outside.push(doc! { "createdAt": DateTime::from(*created_at), "_id": { "$lt": id.to_string() } });
    }
    let mut window = doc! { "createdAt": created };
    if !outside.is_empty() {
        window.insert("$nor", outside);
    }
    window
}
