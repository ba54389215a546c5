//! Events: what has happened, for anyone who wants to know.
//!
//! Events go to the topic exchange [`crate::topology::EVENTS_EXCHANGE`] with their kind as routing key. They are sent after
//! the outcome is durable and at most once: a listener that must not miss anything asks the API.

use serde::{Deserialize, Serialize};

use crate::{AssetId, JobId, UserId};

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

/// Data of `media.ready.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaReady {
    /// The job that did it.
    pub job: JobId,
    /// The asset.
    pub asset: AssetId,
    /// Whose asset it is.
    pub owner: UserId,
    /// Where it is served from.
    pub url: String,
}

/// Data of `media.failed.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaFailed {
    /// The job that was discarded.
    pub job: JobId,
    /// The asset.
    pub asset: AssetId,
    /// Whose asset it is.
    pub owner: UserId,
    /// Why, in words that a person can act on.
    pub reason: String,
}

/// Data of `media.deleted.v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaDeleted {
    /// The job that did it.
    pub job: JobId,
    /// The asset.
    pub asset: AssetId,
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
