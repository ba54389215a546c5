//! Uploads, whole or in chunks.

mod chunks;
mod content_range;
mod file_source;
pub(crate) mod handler;
pub(crate) mod partials;
pub(crate) mod plan;
pub(crate) mod reach;
mod storing;
