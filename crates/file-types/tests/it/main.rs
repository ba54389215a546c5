//! What files are found to be, what is refused, and what is left of a picture.

#![allow(clippy::expect_used, clippy::panic, reason = "in a test, failing loudly is what to do")]

mod claims;
mod detecting;
mod heif;
mod measuring;
mod metadata;
mod pages;
mod positions;
mod support;
mod whole;
