//! Whole-system stories: what a client sees while api, worker, broker, database and media host live, die and come back.

#![allow(clippy::expect_used, clippy::panic, reason = "in a test, failing loudly is what to do")]

mod broker;
mod clocks;
mod contract;
mod crashes;
mod dashboard;
mod documentation;
mod first_release;
mod kills;
mod large;
mod metrics;
mod neighbourhood;
mod outages;
mod poison;
mod request_ids;
mod schemathesis;
mod secrets;
mod streams;
mod support;
mod tour;
mod traces;
mod uploads;
mod webhooks;
