//! Making rollups: the claim, what is counted anew, and what is summed up.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use mongodb::options::ReturnDocument;
use serde::Deserialize;
use serde_with::serde_as;
use time::OffsetDateTime;

use super::{DAY, Ended, MINUTE, Rollup, Rollups, Stretch, latency, sum};
use crate::Error;
use crate::clock::{earlier, later};
use crate::codec::{BsonDateTime, after, decode_entry, decode_found};

/// Who makes them, until when, and how far they have come.
const CLAIM: &str = "claim";
/// How long the claim holds of a worker that is not heard of any more.
const HELD: Duration = Duration::from_secs(30);
/// Minutes before the present one that are counted anew: what ends is dated when its transaction begins, which may last for a minute.
const UNSETTLED: i64 = 2 * MINUTE;
/// How far back is caught up: jobs that have ended are kept for as long.
const LOOK_BACK: Duration = DAY.saturating_mul(7);
/// Stretches of ten minutes that one call looks at.
const AT_ONCE: usize = 6;
/// How long one count may take.
const LIMIT: Duration = Duration::from_secs(8);

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// Another worker makes them.
    NotOurs,
    /// All is told up to now.
    UpToDate,
    /// More is left to be caught up: call it again.
    More,
}

#[serde_as]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claim {
    #[serde_as(as = "Option<BsonDateTime>")]
    through: Option<OffsetDateTime>,
    #[serde_as(as = "BsonDateTime")]
    now: OffsetDateTime,
}

/// What the server counts: jobs of a kind that ended in a minute in a state and took so long.
#[serde_as]
#[derive(Deserialize)]
struct Counted {
    #[serde_as(as = "BsonDateTime")]
    minute: OffsetDateTime,
    kind: String,
    state: String,
    class: u32,
    count: u64,
}

impl Rollups {
    /// Tells what has ended since it was last told, by the caller's name: one worker at a time does. A call looks at an hour at most.
    /// The latest minutes are counted anew each time, and replace what was told of them.
    pub async fn make(&self, worker: &str) -> Result<Made, Error> {
        let Some(claim) = self.claim(worker).await? else { return Ok(Made::NotOurs) };
        let now = DateTime::from(claim.now);
        let oldest = Stretch::TenMinutes.begin(earlier(now, LOOK_BACK));
        let from = match claim.through {
            Some(through) => DateTime::from(through).max(oldest),
            None => self.first_end(oldest).await?.unwrap_or(now),
        };
        let from = Stretch::Minute.begin(from);
        let mut told = from;
        for _ in 0..AT_ONCE {
            if told > now {
                break;
            }
            let to = later(Stretch::TenMinutes.begin(told), Stretch::TenMinutes.length());
            let minutes = self.count(told, to).await?;
            if !minutes.is_empty() {
                self.write(told, minutes).await?;
            }
            told = to;
        }
        let settled = Stretch::Minute.begin(DateTime::from_millis(now.timestamp_millis() - UNSETTLED));
        let through = told.min(settled).max(from);
        if claim.through.map(DateTime::from) != Some(through) {
            let note = doc! { "$set": { "through": through } };
            let its_own = doc! { "_id": CLAIM, "holder": worker };
            self.connection.bounded(self.notes.update_one(its_own, note)).await?;
        }
        Ok(if told > now { Made::UpToDate } else { Made::More })
    }

    /// Takes or keeps the claim. `None`: another worker has it.
    async fn claim(&self, worker: &str) -> Result<Option<Claim>, Error> {
        if let Some(claim) = self.take_claim(worker).await? {
            return Ok(Some(claim));
        }
        if self.connection.bounded(self.documents.find_one(doc! { "_id": CLAIM })).await?.is_some() {
            return Ok(None);
        }
        // The first of all. Several may make it, which changes nothing, and one takes it.
        let free = vec![doc! { "$set": { "until": { "$ifNull": ["$until", "$$NOW"] } } }];
        self.connection.bounded(self.documents.update_one(doc! { "_id": CLAIM }, free).upsert(true)).await?;
        self.take_claim(worker).await
    }

    async fn take_claim(&self, worker: &str) -> Result<Option<Claim>, Error> {
        let free = doc! { "$or": [{ "$eq": ["$holder", { "$literal": worker }] }, { "$lte": ["$until", "$$NOW"] }] };
        let taken = doc! { "holder": { "$literal": worker }, "until": after(HELD), "now": "$$NOW" };
        let asked = self
            .documents
            .find_one_and_update(doc! { "_id": CLAIM, "$expr": free }, vec![doc! { "$set": taken }])
            .return_document(ReturnDocument::After);
        decode_found("claim of rollups", self.connection.bounded(asked).await?)
    }

    /// When the first job ended that ended at or after a time.
    async fn first_end(&self, from: DateTime) -> Result<Option<DateTime>, Error> {
        let query = self.jobs.documents.find_one(doc! { "finishedAt": { "$gte": from } });
        let query = query.sort(doc! { "finishedAt": 1 }).projection(doc! { "_id": 0, "finishedAt": 1 });
        let first = self.connection.bounded(query).await?;
        Ok(first.and_then(|job: RawDocumentBuf| job.get_datetime("finishedAt").ok()))
    }

    /// Counts what ended in some minutes. Answered from an index alone.
    async fn count(&self, from: DateTime, to: DateTime) -> Result<BTreeMap<DateTime, Vec<Ended>>, Error> {
        let minute = doc! { "$subtract": ["$finishedAt", { "$mod": [{ "$toLong": "$finishedAt" }, MINUTE] }] };
        let took = latency::class_of(doc! { "$subtract": ["$finishedAt", "$createdAt"] });
        let pipeline = [
            doc! { "$match": { "finishedAt": { "$gte": from, "$lt": to } } },
            doc! { "$group": {
                "_id": { "minute": minute, "kind": "$kind", "state": "$state", "class": took },
                "count": { "$sum": 1 },
            } },
            doc! { "$replaceWith": { "$mergeObjects": ["$_id", { "count": "$count" }] } },
        ];
        let counting = self.jobs.documents.aggregate(pipeline).max_time(LIMIT).with_type::<RawDocumentBuf>();
        let counted = self.connection.collect(counting).await?;
        let mut minutes: BTreeMap<DateTime, BTreeMap<String, Ended>> = BTreeMap::new();
        for one in counted.iter().filter_map(|one| decode_entry::<Counted>("count of jobs", one)) {
            let kinds = minutes.entry(one.minute.into()).or_default();
            let ended = kinds.entry(one.kind.clone()).or_insert_with(|| Ended { kind: one.kind, ..Ended::default() });
            match one.state.as_str() {
                "completed" => {
                    ended.completed += one.count;
                    ended.latency.count(one.class, one.count);
                }
                "discarded" => ended.discarded += one.count,
                "cancelled" => ended.cancelled += one.count,
                _ => {}
            }
        }
        Ok(minutes.into_iter().map(|(minute, kinds)| (minute, kinds.into_values().collect())).collect())
    }

    /// Replaces some minutes, which lie in one stretch of ten, and what sums them up.
    async fn write(&self, from: DateTime, minutes: BTreeMap<DateTime, Vec<Ended>>) -> Result<(), Error> {
        let mut written = Vec::new();
        let ten = Stretch::TenMinutes.begin(from);
        let mut all: BTreeMap<DateTime, Rollup> = self.stored(Stretch::Minute, ten, Stretch::TenMinutes).await?;
        for (minute, kinds) in minutes {
            let rollup = Rollup { at: minute.into(), kinds };
            written.push(replacing(Stretch::Minute, &rollup)?);
            all.insert(minute, rollup);
        }
        let of_ten = Rollup { at: ten.into(), kinds: sum(all.values()) };
        written.push(replacing(Stretch::TenMinutes, &of_ten)?);
        let hour = Stretch::Hour.begin(from);
        let mut tens = self.stored(Stretch::TenMinutes, hour, Stretch::Hour).await?;
        tens.insert(ten, of_ten);
        written.push(replacing(Stretch::Hour, &Rollup { at: hour.into(), kinds: sum(tens.values()) })?);
        if self.connection.update_each(&self.documents, written, LIMIT).await? {
            return Ok(());
        }
        Err(Error::timed_out(LIMIT))
    }

    /// What is stored of the stretches of one length within a longer one.
    async fn stored(
        &self,
        stretch: Stretch,
        from: DateTime,
        within: Stretch,
    ) -> Result<BTreeMap<DateTime, Rollup>, Error> {
        let stored = self.between(stretch, from, later(from, within.length())).await?;
        Ok(stored.into_iter().map(|rollup| (rollup.at.into(), rollup)).collect())
    }
}

/// The statement that writes a rollup in the place of the one that there may be.
fn replacing(stretch: Stretch, rollup: &Rollup) -> Result<Document, Error> {
    let at = DateTime::from(rollup.at);
    let kinds = bson::serialize_to_bson(&rollup.kinds).map_err(|cause| Error::Database(cause.into()))?;
    let document = doc! { "at": at, "kinds": kinds, "expireAt": later(at, stretch.kept()) };
    Ok(doc! { "q": { "_id": Bson::from(stretch.id(at)) }, "u": document, "upsert": true })
}
