//! The HTTP front of Steep.
//!
//! It takes uploads, answers at once, and leaves the slow work to workers. What an answer promises:
//!
//! * a 2xx to an upload means that its bytes are synced to disk and its job is in MongoDB with majority, journaled write
//!   concern; the answer never waits for RabbitMQ or Cloudinary;
//! * any other answer means that nothing is left behind, but for one: 503 with the type `outcome-unknown`, when the database
//!   vanished in the middle of a commit;
//! * a request whose client goes away in the middle leaves nothing behind either;
//! * every failure is JSON of one shape, names the field that caused it, and holds nothing internal.
//!
//! A request is checked from the outside in: who asks, has it been answered before, is there room; and only then is its
//! body read.
//!
//! Modules import downwards only: `pages`, then `routes`, then `state`, then `uploads`, `openapi`, `auth`, then `http`, then
//! `config`. A group of routes is a folder in `routes` with its `router()`, its handlers and its views, and one `merge`
//! line.

mod auth;
pub mod commands;
mod config;
mod error;
mod http;
mod openapi;
mod pages;
mod routes;
mod start;
mod state;
mod uploads;

pub use auth::AccessTokens;
pub use config::Config;
pub use error::Error;
pub use start::{Running, start};
