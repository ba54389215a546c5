//! What is before a job that waits for its turn.

use bson::{DateTime, Document, doc};

use super::{JobRecord, JobState, Jobs};
use crate::Error;
use crate::codec::object_id;

/// More than so many are not counted: whoever waits asks often, and a backlog may be long.
const COUNTED: u64 = 100;

/// A number that is counted up to a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    pub count: u64,
    /// Whether there are more.
    pub more: bool,
}

/// What is before a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    /// Jobs of its owner and of its kind that run.
    pub running: Counted,
    /// Jobs of anybody in its queue that wait for a worker as it does, and were due before it.
    pub ahead: Counted,
}

impl Jobs {
    /// What is before a job, now. The two are counted one beside the other, at most a hundred each, by an index, whatever the
    /// backlog.
    pub async fn line(&self, job: &JobRecord) -> Result<Line, Error> {
        let (running, ahead) = tokio::try_join!(self.running_beside(job), self.count_few(ahead_of(job)))?;
        Ok(Line { running, ahead })
    }

    async fn running_beside(&self, job: &JobRecord) -> Result<Counted, Error> {
        let Some(owner) = job.owner else { return Ok(Counted::default()) };
        self.count_few(doc! {
            "owner": object_id(owner.bytes()),
            "state": JobState::Running.as_str(),
            "kind": &job.kind,
            // What the index is limited to: a user's unfinished jobs, which are few.
            "dueAt": { "$exists": true },
        })
        .await
    }

    async fn count_few(&self, filter: Document) -> Result<Counted, Error> {
        let counting = self.documents.count_documents(filter).limit(COUNTED + 1);
        let found = self.connection.bounded(counting).await?;
        Ok(Counted { count: found.min(COUNTED), more: found > COUNTED })
    }
}

fn ahead_of(job: &JobRecord) -> Document {
    doc! {
        "queue": &job.queue,
        "runAt": { "$lt": DateTime::from(job.run_at) },
        "state": { "$in": [JobState::Pending.as_str(), JobState::Queued.as_str()] },
        // What the index is limited to.
        "dueAt": { "$gt": DateTime::MIN },
    }
}
