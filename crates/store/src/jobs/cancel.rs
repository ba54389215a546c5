//! Jobs that are cancelled: why, and who finds out that the job that it runs was.

use std::collections::HashMap;

use bson::doc;
use messages::JobId;
use serde::Deserialize;

use super::{JobState, Jobs};
use crate::Error;
use crate::codec::decode;

/// Why a job is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// A newer upload took the place of what it uploads.
    Superseded,
    /// Its owner does not want it any more.
    ByOwner,
    /// Whoever runs the system has decided so.
    ByOperator,
    /// What it tells of is told to nobody any more.
    NobodyToTell,
}

impl CancelReason {
    /// The reason as it stands in documents and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "superseded by a newer upload",
            Self::ByOwner => "cancelled by its owner",
            Self::ByOperator => "cancelled by an operator",
            Self::NobodyToTell => "there is nobody to tell any more",
        }
    }

    /// The same for programs, in a job and in its asset, where it stands beside those of [`DiscardCode`](super::DiscardCode). The names are
    /// permanent.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::ByOwner => "cancelled",
            Self::ByOperator => "by-operator",
            Self::NobodyToTell => "nobody-to-tell",
        }
    }
}

/// A job that runs.
#[derive(Deserialize)]
struct Held {
    #[serde(rename = "_id")]
    id: JobId,
    attempt: u32,
}

impl Jobs {
    /// Which of these jobs, each with the number of an attempt, are not held by that attempt: they were cancelled, taken over, or have
    /// ended. One query for all of them, and none for none. It takes no part in any fence: whoever is told so finds out with
    /// [`Jobs::renew`] whether it counts.
    pub async fn not_held(&self, attempts: &[(JobId, u32)]) -> Result<Vec<JobId>, Error> {
        if attempts.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = attempts.iter().map(|(job, _)| job.to_string()).collect();
        let running = doc! { "_id": { "$in": ids }, "state": JobState::Running.as_str() };
        let running = self.documents.find(running).projection(doc! { "attempt": 1 });
        let mut held = HashMap::new();
        for job in self.connection.collect(running).await? {
            let Held { id, attempt } = decode("job", &job)?;
            held.insert(id, attempt);
        }
        Ok(attempts.iter().filter(|(job, attempt)| held.get(job) != Some(attempt)).map(|(job, _)| *job).collect())
    }
}
