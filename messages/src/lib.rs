//! The wire contract of Steep: what travels through RabbitMQ between the API and the workers.
//!
//! Nothing here does I/O. The crate guarantees that
//!
//! * a kind (`media.upload.v1`) is permanent: its meaning never changes, fields are only ever added, and a rename keeps the
//!   old spelling as an alias, because messages written by an older version may still wait in a queue;
//! * messages carry ids, never bytes and never state: the truth about a job is its document in MongoDB, and a message is
//!   only the news that there is something to do. Delivering one twice is therefore harmless;
//! * [`Envelope::decode`] tells a body that can never be understood (a poison message) from one of a kind that this version
//!   does not know, so that both can be dead-lettered for a person instead of being retried or lost.

#![warn(missing_docs)]

mod envelope;
mod events;
mod ids;
mod jobs;
mod kinds;
#[cfg(feature = "schema")]
pub mod schema;
pub mod topology;
mod trace;

pub use envelope::{DecodeError, Envelope};
pub use events::*;
pub use ids::{
    ActionId, AssetId, EndpointId, EventId, FileId, InvalidId, JobId, MessageId, SessionId, SpoolId, UserId,
};
pub use jobs::*;
pub use trace::Trace;
