//! The API over real services: what clients send, what they get, and what is left behind.

#![allow(clippy::expect_used, clippy::panic, reason = "in a test, failing loudly is what to do")]

mod accepting;
mod account;
mod bodies;
mod cors;
mod credentials;
mod cross_origin;
mod documented;
mod fields;
mod file_types;
mod files;
mod forms;
mod headers;
mod heads;
mod idempotency;
mod images;
mod limits;
mod login;
mod media;
mod outages;
mod passwords;
mod paths;
mod pressure;
mod previews;
mod program;
mod session_model;
mod session_races;
mod sessions;
mod settings;
mod slow;
mod subscriptions;
mod support;
mod taken;
mod tokens;
