//! Who subscribes to whom.

pub(crate) mod handlers;
pub(crate) mod views;
