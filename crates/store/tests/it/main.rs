//! The store against a real MongoDB. Every test has a database of its own.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod accept;
mod adopted;
mod adoption;
mod aggregates;
mod claim;
mod false_alarms;
mod faults;
mod finish;
mod golden;
mod look_ups;
mod progress;
mod redrive;
mod relay;
mod stories;
mod subscriptions;
mod supersede;
mod support;
mod together;
