//! Recording how an attempt ended. Every call is fenced: it counts only while the attempt still holds the job.

use messages::{AssetId, FileId, JobId, UserId};
use time::OffsetDateTime;

use crate::{Error, JobRecord, JobState, Role, Store, StoredMedia};

/// How a job ended, and what is left to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// [`JobState::Completed`], [`JobState::Discarded`], or [`JobState::Cancelled`] when a newer upload had taken its place.
    pub state: JobState,
    /// The asset's owner.
    pub owner: UserId,
    /// What the asset is to its owner.
    pub role: Role,
    /// Where the asset is served from, if it is ready.
    pub url: Option<String>,
    /// A file that nothing needs any more: remove it.
    pub file: Option<FileId>,
    /// Jobs that this outcome brought about. Publish them; the relay does if nobody else does.
    pub follow_ups: Vec<JobRecord>,
}

/// A failure that may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// When to try again.
    pub run_at: OffsetDateTime,
    /// What went wrong.
    pub error: String,
    /// Whether it counts against the job's attempts. A wrong configuration of ours does not.
    pub counts: bool,
}

impl Store {
    /// Records that an asset is stored at Cloudinary: asset, owner's image and job change together.
    ///
    /// The image is replaced only by a newer one. A replaced asset gets a job that deletes it, and so does this one if a newer
    /// upload has taken its place: then the job is cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] (also on a second call), [`Error::NotFound`] when the asset is gone; [`Error::Unavailable`],
    /// [`Error::Unknown`], [`Error::Corrupt`] or [`Error::Database`].
    pub async fn complete_upload(
        &self,
        _id: JobId,
        _attempt: u32,
        _asset: AssetId,
        _stored: StoredMedia,
    ) -> Result<Outcome, Error> {
        todo!()
    }

    /// Ends a job whose asset was superseded before the upload began or while it failed. Something may be stored at Cloudinary
    /// if an earlier attempt went that far, so the asset gets a job that deletes it.
    ///
    /// # Errors
    ///
    /// As [`Store::complete_upload`].
    pub async fn cancel_superseded(&self, _id: JobId, _attempt: u32, _asset: AssetId) -> Result<Outcome, Error> {
        todo!()
    }

    /// Records that an asset is no longer at Cloudinary.
    ///
    /// # Errors
    ///
    /// As [`Store::complete_upload`].
    pub async fn complete_delete(&self, _id: JobId, _attempt: u32, _asset: AssetId) -> Result<Outcome, Error> {
        todo!()
    }

    /// Puts a job off. At the last attempt that counts it is discarded instead, replayable.
    ///
    /// # Errors
    ///
    /// As [`Store::complete_upload`].
    pub async fn retry(&self, _id: JobId, _attempt: u32, _retry: &Retry) -> Result<JobState, Error> {
        todo!()
    }

    /// Gives a job up. Its asset has failed, and the owner's image falls back to what it was. The file of a replayable job
    /// stays; otherwise it may be removed. If a newer upload had taken the asset's place, the job is cancelled instead.
    ///
    /// # Errors
    ///
    /// As [`Store::complete_upload`].
    pub async fn discard(&self, _id: JobId, _attempt: u32, _reason: &str, _replayable: bool) -> Result<Outcome, Error> {
        todo!()
    }
}
