//! Jobs: what a worker is asked to do.

mod delete_media;
mod recompute_channel;
mod upload_media;

use serde_json::Value;

pub use delete_media::DeleteMedia;
pub use recompute_channel::RecomputeChannel;
pub use upload_media::UploadMedia;

use crate::{DecodeError, topology};

/// A job's kind and payload. Imperative, because nothing has happened yet.
///
/// Adding a kind: a variant, its arm in the four functions below and in the worker's `jobs`, a golden file in `tests/golden`.
/// Deploy workers before APIs; a worker that meets a kind from the future parks it in the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// `media.upload.v1`: move a spooled file to Cloudinary.
    UploadMedia(UploadMedia),
    /// `media.delete.v1`: delete an asset from Cloudinary that nothing shows any more.
    DeleteMedia(DeleteMedia),
    /// `channel.recompute.v1`: count a channel's subscribers anew.
    RecomputeChannel(RecomputeChannel),
}

impl Job {
    /// Every kind that this version performs, as it stands on the wire.
    pub const KINDS: [&'static str; 3] = ["media.upload.v1", "media.delete.v1", "channel.recompute.v1"];

    /// The permanent name of this job's kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::UploadMedia(_) => "media.upload.v1",
            Self::DeleteMedia(_) => "media.delete.v1",
            Self::RecomputeChannel(_) => "channel.recompute.v1",
        }
    }

    /// The queue, and routing key, that this job is published to.
    pub fn queue(&self) -> String {
        match self {
            Self::UploadMedia(job) => topology::upload_queue(&job.spool),
            Self::DeleteMedia(_) => topology::DELETE_QUEUE.to_owned(),
            Self::RecomputeChannel(_) => topology::RECOMPUTE_QUEUE.to_owned(),
        }
    }

    /// The payload as JSON, as it stands under `data` on the wire and in the job's document.
    pub fn data(&self) -> Value {
        let data = match self {
            Self::UploadMedia(job) => serde_json::to_value(job),
            Self::DeleteMedia(job) => serde_json::to_value(job),
            Self::RecomputeChannel(job) => serde_json::to_value(job),
        };
        // Structs of strings always serialise.
        data.unwrap_or(Value::Null)
    }

    /// The job of a kind with a payload.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnknownKind`] for a kind this version does not know, [`DecodeError::Payload`] when the payload does
    /// not fit the kind. Unknown fields are ignored: a newer version may have added them.
    pub fn from_parts(kind: &str, data: Value) -> Result<Self, DecodeError> {
        let job = match kind {
            "media.upload.v1" => serde_json::from_value(data).map(Self::UploadMedia),
            "media.delete.v1" => serde_json::from_value(data).map(Self::DeleteMedia),
            "channel.recompute.v1" => serde_json::from_value(data).map(Self::RecomputeChannel),
            _ => return Err(DecodeError::UnknownKind { kind: kind.chars().take(100).collect() }),
        };
        job.map_err(|cause| DecodeError::Payload { kind: kind.to_owned(), cause: cause.to_string() })
    }
}
