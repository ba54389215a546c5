//! The server over real HTTP, in this process on a free port.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "in tests they are how to fail and to say so"
)]

mod admin_api;
mod chunked;
mod control;
mod credentials;
mod delivery;
mod faults;
mod manage;
mod remote;
mod restart;
mod sdk;
mod support;
mod uploads;
mod wire;
