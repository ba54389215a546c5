//! What `cargo xtask dev` shows.

pub mod banner;
pub mod tail;
