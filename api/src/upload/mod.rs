//! Uploads: a multipart body (RFC 7578) streamed into the spool.
//!
//! Nothing of a body is ever in memory but the chunk in hand, and a file belongs to a guard that removes it until a durable
//! job owns it, so a request that fails at any point, or whose client goes away, leaves nothing behind.

mod file;
mod file_type;
mod flow;
mod form;
mod incoming;

pub use file_type::Accepts;
pub use flow::Pace;

pub(crate) use file::Received;
pub(crate) use form::{FileField, Part};
pub(crate) use incoming::Incoming;
