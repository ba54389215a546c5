//! Jobs of paused users: they wait, and nothing that they have is counted for it.

use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use messages::{JobId, UserId};

use super::failure::Failed;
use super::{AttemptOutcome, FailureCode, JobState, Jobs, transitions};
use crate::Error;
use crate::codec::{after, object_id};
use crate::connection::id;

/// For how long a job of a paused user is left alone. Resuming the user ends that at once; without it the job is claimed again after
/// this, and left alone again, so that what a worker that died in the middle has held goes on by itself within a day.
const HELD: Duration = Duration::from_secs(24 * 60 * 60);
/// Jobs that are made due at once.
const BATCH: i64 = 1_000;

impl Jobs {
    /// Leaves a job alone whose owner is paused, by the attempt that holds it: it counts as released, not as failed.
    /// [`Error::Fenced`] if the attempt holds it no more.
    ///
    /// Look afterwards whether the owner is still paused, and call [`Jobs::resume_held`] if not: whoever resumed them meanwhile may
    /// have looked for held jobs before this was one.
    pub async fn hold(&self, id: JobId, attempt: u32) -> Result<(), Error> {
        let failed = Failed::of(FailureCode::UserPaused, "its owner is paused");
        let update = transitions::retry(after(HELD), AttemptOutcome::Released, Some(failed), 0, None);
        self.update_held(id, attempt, JobState::Retryable, update).await
    }

    /// Makes the held jobs of a user due at once, and says how many there were. A second call finds none.
    pub async fn resume_held(&self, owner: UserId) -> Result<u64, Error> {
        let mut resumed = 0;
        loop {
            let query = self.documents.find(held_of(owner)).limit(BATCH).projection(doc! { "_id": 1 });
            let found: Vec<RawDocumentBuf> = self.connection.collect(query).await?;
            if found.is_empty() {
                return Ok(resumed);
            }
            let ids: Vec<Bson> = found.iter().filter_map(id).collect();
            let mut these = held_of(owner);
            these.insert("_id", doc! { "$in": ids });
            let due = vec![doc! { "$set": { "runAt": "$$NOW", "dueAt": "$$NOW", "updatedAt": "$$NOW" } }];
            resumed += self.connection.bounded(self.documents.update_many(these, due)).await?.matched_count;
        }
    }
}

/// Jobs of a user that wait because the user was paused when they were claimed last.
fn held_of(owner: UserId) -> Document {
    let last = doc! { "$getField": { "field": "code", "input": { "$last": "$attempts" } } };
    doc! {
        "owner": object_id(owner.bytes()),
        "state": JobState::Retryable.as_str(),
        // What the index is limited to.
        "dueAt": { "$exists": true },
        "$expr": { "$and": [
            { "$gt": ["$runAt", "$$NOW"] },
            { "$eq": [last, FailureCode::UserPaused.as_str()] },
        ] },
    }
}
