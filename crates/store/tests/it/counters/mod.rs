//! Counts that are stored.

mod recount;
