//! Uploads: a multipart body (RFC 7578) streamed into the spool.
//!
//! Nothing of a body is ever in memory but the chunk in hand, and a file belongs to a guard that removes it until a durable
//! job owns it, so a request that fails at any point, or whose client goes away, leaves nothing behind.

pub(crate) mod admission;
mod body_stream;
mod file;
mod file_types;
mod form;
mod incoming;
pub(crate) mod publishing;
pub(crate) mod submission;

pub use body_stream::Pace;
pub use file_types::Accepts;

pub(crate) use file::Received;
pub(crate) use form::{FileField, Part};
pub(crate) use incoming::Incoming;
