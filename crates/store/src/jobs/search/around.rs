//! What is around a job: what it has brought about, and other jobs about the same asset.

use bson::doc;
use messages::{EventId, JobId};
use serde::Deserialize;
use serde_with::serde_as;
use time::OffsetDateTime;

use super::{LIMIT, newest_first};
use crate::Error;
use crate::codec::{BsonDateTime, decode_entry, object_id};
use crate::jobs::listing::latest_attempt;
use crate::jobs::{JobRecord, Jobs};

/// Jobs of an asset that are shown. There are a few: its upload, deletions, redrives of either.
const BESIDE: i64 = 50;

/// What a job has brought about, and what else there is about its asset. Whatever is not kept any more is not in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Around {
    /// Oldest first.
    pub events: Vec<JobEvent>,
    /// In no order, each with its latest attempt only.
    pub follow_ups: Vec<JobRecord>,
    /// Other jobs about the same asset, the newest 50, newest first, each with its latest attempt only.
    pub of_asset: Vec<JobRecord>,
}

/// An event that a job has brought about.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobEvent {
    #[serde(rename = "_id")]
    pub id: EventId,
    pub kind: String,
    /// When it happened.
    #[serde(rename = "createdAt")]
    #[serde_as(as = "BsonDateTime")]
    pub at: OffsetDateTime,
    /// When a relay publishes it, unless that is done.
    #[serde_as(as = "Option<BsonDateTime>")]
    due_at: Option<OffsetDateTime>,
}

impl JobEvent {
    /// Whether the broker has it.
    pub const fn is_published(&self) -> bool {
        self.due_at.is_none()
    }
}

impl Jobs {
    /// What is around a job. Of one that ended in an earlier release it is not known what it has brought about.
    pub async fn around(&self, job: &JobRecord) -> Result<Around, Error> {
        let (events, follow_ups, of_asset) =
            tokio::try_join!(self.events_of(&job.events), self.follow_ups_of(&job.follow_ups), self.beside(job))?;
        Ok(Around { events, follow_ups, of_asset })
    }

    async fn events_of(&self, ids: &[EventId]) -> Result<Vec<JobEvent>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = ids.iter().map(EventId::to_string).collect();
        let found = self.events.documents.find(doc! { "_id": { "$in": ids } });
        let found = found.projection(doc! { "kind": 1, "createdAt": 1, "dueAt": 1 }).max_time(LIMIT);
        let found = self.connection.collect(found).await?;
        let mut events: Vec<JobEvent> = found.iter().filter_map(|event| decode_entry("event", event)).collect();
        events.sort_by_key(|event| (event.at, event.id));
        Ok(events)
    }

    async fn follow_ups_of(&self, ids: &[JobId]) -> Result<Vec<JobRecord>, Error> {
        self.current(ids).await
    }

    async fn beside(&self, job: &JobRecord) -> Result<Vec<JobRecord>, Error> {
        let Some(asset) = job.asset else { return Ok(Vec::new()) };
        let others = doc! { "asset": object_id(asset.bytes()), "_id": { "$ne": job.id.to_string() } };
        let found = self.documents.find(others).hint(mongodb::options::Hint::Keys(doc! { "asset": 1 }));
        let found = found.sort(newest_first()).limit(BESIDE).projection(latest_attempt()).max_time(LIMIT);
        let found = self.connection.collect(found).await?;
        Ok(found.iter().filter_map(|job| decode_entry("job", job)).collect())
    }
}
