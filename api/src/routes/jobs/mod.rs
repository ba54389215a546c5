//! The slow part of what was accepted.

pub(crate) mod handlers;
pub(crate) mod views;
