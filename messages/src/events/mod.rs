//! Events: what has happened, for anyone who wants to know.
//!
//! Adding one: a file with its data, a line in the table below, a golden file in `tests/golden`; and the handler that makes it.

mod media_cancelled;
mod media_deleted;
mod media_failed;
mod media_ready;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use media_cancelled::MediaCancelled;
pub use media_deleted::MediaDeleted;
pub use media_failed::MediaFailed;
pub use media_ready::MediaReady;

use crate::kinds::kinds;
use crate::{DecodeError, EventId};

/// An event on its way to the topic exchange [`crate::topology::EVENTS_EXCHANGE`], with its kind as routing key. On the wire
/// `{"id": "…", "kind": "media.ready.v1", "data": {…}}`.
///
/// It is sent at least once, after the outcome that it tells of is durable. Receivers drop what comes twice by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventMessage {
    /// Names the event: the same however often it comes.
    pub id: EventId,
    /// What has happened.
    #[serde(flatten)]
    pub event: Event,
}

kinds! {
    /// A kind of event, which is also its routing key, and its data. Past tense, because it has happened.
    Event:
    /// An upload is stored at Cloudinary.
    MediaReady = "media.ready.v1",
    /// An upload was discarded.
    MediaFailed = "media.failed.v1",
    /// An asset is gone from Cloudinary.
    MediaDeleted = "media.deleted.v1",
    /// An upload was cancelled by its owner.
    MediaCancelled = "media.cancelled.v1",
}
