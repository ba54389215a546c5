//! The store against a real MongoDB. Every test has a database of its own.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod admins;
mod adoption;
mod channels;
mod clock;
mod counters;
mod ends;
mod error_groups;
mod faults;
mod fleet;
mod golden;
mod jobs;
mod media;
mod operator;
mod proxy;
mod stories;
mod support;
mod webhooks;
