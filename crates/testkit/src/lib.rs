//! What tests are made with: the real services, an environment of one's own in them, clients and files.
//!
//! Nothing of ours is mocked. RabbitMQ and MongoDB are real, Cloudinary is `cloudinary-local` over real HTTP, and api and
//! worker run either in the test's process or, where they are to be killed, as processes of their own.

#![allow(clippy::expect_used, clippy::panic, reason = "in a test, failing loudly is what to do")]

pub mod adopted;
mod census;
mod client;
pub mod databases;
pub mod ends;
mod env;
mod pictures;
pub mod process;
pub mod proxy;
pub mod samples;
pub mod secrets;
mod services;
pub mod tools;
mod users;
mod wire;

pub use census::Census;
pub use client::{Answer, Client, EventStream, PASSWORD, PATIENCE, Told, Upload};
pub use env::{ACCESS_TOKEN_SECRET, Api, CLOUDINARY_SECRET, Leftovers, REFRESH_TOKEN_SECRET, TestEnv};
pub use pictures::{SMALLEST_JPEG, jpeg, mp4};
pub use services::{OwnMongoDb, Services, VirtualHost};
pub use users::{access_tokens, make_users, new_user, session_of};
pub use wire::{FORM_TYPE, RawForm, Wire};
pub use xtask::process::Process;
