//! Work that comes at the same time, done together.

pub(crate) mod group_commit;
pub(crate) mod reads;
