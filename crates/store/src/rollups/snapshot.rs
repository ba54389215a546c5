//! What waits and runs, counted by one worker for everybody who looks.

use std::time::Duration;

use bson::{DateTime, RawDocumentBuf, doc};
use serde::{Deserialize, Serialize};
use serde_with::serde_as;
use time::OffsetDateTime;

use super::Rollups;
use crate::codec::{BsonDateTime, decode_entry, decode_found};
use crate::{Error, JobState};

/// The name of its document.
const WAITING: &str = "waiting";
/// Jobs of a state that are counted, at most: those that are due first.
pub const COUNTED_WAITING: u64 = 100_000;
/// How long a count may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What waits and runs, a few seconds ago.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// When it was taken.
    #[serde_as(as = "BsonDateTime")]
    pub at: OffsetDateTime,
    pub queues: Vec<WaitingIn>,
    /// How many counts have changes that are not in them.
    #[serde(default)]
    pub dirty: u64,
    /// When the oldest of those changes was made.
    #[serde_as(as = "Option<BsonDateTime>")]
    #[serde(default)]
    pub dirty_since: Option<OffsetDateTime>,
}

/// The unfinished jobs of a queue in one state.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingIn {
    pub queue: String,
    pub state: JobState,
    pub count: u64,
    /// Whether there are more, of this queue or of another in the same state.
    #[serde(default)]
    pub at_least: bool,
    /// As in [`QueueAge`](crate::QueueAge).
    #[serde_as(as = "BsonDateTime")]
    pub waiting_since: OffsetDateTime,
}

impl Rollups {
    /// Counts what waits and runs, and stores it in the place of what was counted before.
    pub async fn take_snapshot(&self) -> Result<(), Error> {
        let mut queues = Vec::new();
        for state in JobState::ALL.into_iter().filter(|state| !state.is_finished()) {
            queues.extend(self.waiting_in(state).await?);
        }
        let waiting = self.counters.waiting().await?;
        let at = self.connection.now().await?.into();
        let snapshot = Snapshot { at, queues, dirty: waiting.dirty, dirty_since: waiting.oldest };
        let snapshot = crate::codec::encode(&snapshot)?;
        let stored = self.notes.replace_one(doc! { "_id": WAITING }, snapshot).upsert(true);
        self.connection.bounded(stored).await?;
        Ok(())
    }

    /// What was counted last. `None`: no worker has counted yet.
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, Error> {
        let found = self.connection.bounded(self.documents.find_one(doc! { "_id": WAITING })).await?;
        decode_found("snapshot", found)
    }

    /// Counts the jobs of a state by queue, those that are due first up to a limit. Answered from an index alone.
    async fn waiting_in(&self, state: JobState) -> Result<Vec<WaitingIn>, Error> {
        let since = if state == JobState::Running { "$leaseUntil" } else { "$runAt" };
        let pipeline = [
            doc! { "$match": { "state": state.as_str(), "dueAt": { "$gt": DateTime::MIN } } },
            doc! { "$sort": { "dueAt": 1 } },
            doc! { "$limit": i64::try_from(COUNTED_WAITING).unwrap_or(i64::MAX) + 1 },
            doc! { "$group": { "_id": "$queue", "count": { "$sum": 1 }, "waitingSince": { "$min": since } } },
            doc! { "$sort": { "_id": 1 } },
            doc! { "$set": { "queue": "$_id", "state": state.as_str() } },
        ];
        let counting = self.jobs.documents.aggregate(pipeline).max_time(LIMIT).with_type::<RawDocumentBuf>();
        let found = self.connection.collect(counting).await?;
        let mut queues: Vec<WaitingIn> =
            found.iter().filter_map(|queue| decode_entry("count of a queue", queue)).collect();
        if queues.iter().map(|queue| queue.count).sum::<u64>() > COUNTED_WAITING {
            queues.iter_mut().for_each(|queue| queue.at_least = true);
        }
        Ok(queues)
    }
}
