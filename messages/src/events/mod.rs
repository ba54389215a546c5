//! Events: what has happened, for anyone who wants to know.
//!
//! Adding one: a file with its data, a line in the table below, a golden file in `tests/golden`; and the handler that makes it.

mod media_deleted;
mod media_failed;
mod media_ready;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use media_deleted::MediaDeleted;
pub use media_failed::MediaFailed;
pub use media_ready::MediaReady;

use crate::{DecodeError, EventId};

/// An event on its way to the topic exchange [`crate::topology::EVENTS_EXCHANGE`], with its kind as routing key. On the wire
/// `{"id": "…", "kind": "media.ready.v1", "data": {…}}`.
///
/// It is sent at least once, after the outcome that it tells of is durable. Receivers drop what comes twice by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMessage {
    /// Names the event: the same however often it comes.
    pub id: EventId,
    /// What has happened.
    #[serde(flatten)]
    pub event: Event,
}

macro_rules! events {
    ($($(#[$doc:meta])* $data:ident = $kind:literal,)*) => {
        /// A kind of event and its data. Past tense, because it has happened.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "data")]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $kind)] $data($data),)*
        }

        impl Event {
            /// Every kind that this version knows, as it stands on the wire.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The permanent name of this event's kind, and its routing key.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$data(_) => $kind,)*
                }
            }

            /// The data as JSON, as it stands under `data` on the wire and in the event's document.
            pub fn data(&self) -> Value {
                let data = match self {
                    $(Self::$data(data) => serde_json::to_value(data),)*
                };
                // Structs of strings always serialise.
                data.unwrap_or(Value::Null)
            }

            /// The event of a kind with its data.
            ///
            /// # Errors
            ///
            /// As [`Job::from_parts`](crate::Job::from_parts).
            pub fn from_parts(kind: &str, data: Value) -> Result<Self, DecodeError> {
                let event = match kind {
                    $($kind => serde_json::from_value(data).map(Self::$data),)*
                    _ => return Err(DecodeError::UnknownKind { kind: kind.chars().take(100).collect() }),
                };
                event.map_err(|cause| DecodeError::Payload { kind: kind.to_owned(), cause: cause.to_string() })
            }
        }

        $(
            impl From<$data> for Event {
                fn from(data: $data) -> Self {
                    Self::$data(data)
                }
            }
        )*
    };
}

events! {
    /// An upload is stored at Cloudinary.
    MediaReady = "media.ready.v1",
    /// An upload was discarded.
    MediaFailed = "media.failed.v1",
    /// An asset is gone from Cloudinary.
    MediaDeleted = "media.deleted.v1",
}
