//! Events: what has happened, for anyone who wants to know.
//!
//! Events go to the topic exchange [`crate::topology::EVENTS_EXCHANGE`] with their kind as routing key. They are sent after
//! the outcome is durable and at most once: a listener that must not miss anything asks the API.

mod media_deleted;
mod media_failed;
mod media_ready;

use serde::{Deserialize, Serialize};

pub use media_deleted::MediaDeleted;
pub use media_failed::MediaFailed;
pub use media_ready::MediaReady;

/// An event as it stands on the wire: `{"kind": "media.ready.v1", "data": {...}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data")]
pub enum Event {
    /// An upload is stored at Cloudinary.
    #[serde(rename = "media.ready.v1")]
    MediaReady(MediaReady),
    /// An upload was given up.
    #[serde(rename = "media.failed.v1")]
    MediaFailed(MediaFailed),
    /// An asset is gone from Cloudinary.
    #[serde(rename = "media.deleted.v1")]
    MediaDeleted(MediaDeleted),
}

impl Event {
    /// The permanent name of this event's kind, and its routing key.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::MediaReady(_) => "media.ready.v1",
            Self::MediaFailed(_) => "media.failed.v1",
            Self::MediaDeleted(_) => "media.deleted.v1",
        }
    }
}
