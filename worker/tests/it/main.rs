//! The worker against a real RabbitMQ, a real MongoDB and a media host that speaks Cloudinary's API over HTTP.
//!
//! `cargo xtask test` starts the services. Every test has a virtual host, a database and a spool of its own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests are not seen as tests, and failing loudly is what a test is for"
)]

mod delivery;
mod fleet;
mod lifecycle;
mod maintenance;
mod support;
