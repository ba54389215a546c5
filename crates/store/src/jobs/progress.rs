//! How far a large upload has come, so that the next attempt goes on there.

use std::time::Duration;

use bson::DateTime;
use messages::JobId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{JobState, Jobs, transitions};
use crate::Error;

/// Where an upload in chunks goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadPosition {
    /// What ties its chunks together at the media host.
    pub upload_id: String,
    /// Bytes from the start that the media host has acknowledged.
    pub acknowledged_bytes: u64,
    /// The size of its chunks, bytes.
    pub chunk_size: u64,
    /// How often it was begun at its first byte.
    pub begun: u32,
}

/// How far a job's upload has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadProgress {
    /// Where to go on.
    pub position: UploadPosition,
    /// The most bytes that were ever acknowledged, also of an upload that had to begin anew.
    pub furthest_bytes: u64,
    /// When this was noted, by the database's clock.
    pub noted_at: OffsetDateTime,
}

impl Jobs {
    /// Notes how far a job's upload has come, and extends the lease to `lease` from now.
    ///
    /// Getting further than ever forgets the crashes so far: a job that gets on is not what makes workers vanish. What does so
    /// at one place never gets beyond it, and its crashes add up.
    ///
    /// Noting the same again is harmless.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] when another attempt has taken over: stop the work. [`Error::Unavailable`] or [`Error::Database`]: it
    /// may have been noted.
    pub async fn note_progress(
        &self,
        id: JobId,
        attempt: u32,
        lease: Duration,
        position: &UploadPosition,
    ) -> Result<(), Error> {
        let held = transitions::held(id, attempt, JobState::Running);
        let noted = self.documents.update_one(held, transitions::note_progress(position, lease));
        if self.connection.bounded(noted).await?.matched_count == 1 { Ok(()) } else { Err(Error::Fenced) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProgressDocument {
    id: String,
    acknowledged_bytes: u64,
    chunk_size: u64,
    begun: u32,
    furthest_bytes: u64,
    noted_at: DateTime,
}

impl From<ProgressDocument> for UploadProgress {
    fn from(progress: ProgressDocument) -> Self {
        Self {
            position: UploadPosition {
                upload_id: progress.id,
                acknowledged_bytes: progress.acknowledged_bytes,
                chunk_size: progress.chunk_size,
                begun: progress.begun,
            },
            furthest_bytes: progress.furthest_bytes,
            noted_at: progress.noted_at.into(),
        }
    }
}
