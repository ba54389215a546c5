//! The API over real services: what clients send, what they get, and what is left behind.

#![allow(clippy::expect_used, clippy::panic, reason = "in a test, failing loudly is what to do")]

mod admin;
mod cancelling;
mod events;
mod http;
mod jobs;
mod pages;
mod process;
mod sign_in;
mod subscriptions;
mod support;
mod uploads;
mod users;
mod webhook_endpoints;
mod webhooks;
