//! Whether the program and what it depends on are there.

pub(crate) mod handlers;
