//! Work that comes at the same time, done together. Nothing here knows a family of documents.

mod group_commit;
mod reads;

pub(crate) use group_commit::{GroupCommit, Grouped};
pub(crate) use reads::{BatchedReads, Lookup, one_of};
