//! The client as its users see it, against a media host over real HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod chunked;
mod operations;
mod replies;
mod signature;
mod support;
mod upload;
