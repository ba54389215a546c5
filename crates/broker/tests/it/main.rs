//! Publishing and consuming against a real RabbitMQ. `cargo xtask test` starts one.

#![allow(clippy::expect_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod consuming;
mod dead_letters;
mod generations;
mod losing;
mod presence;
mod proxy;
mod publishing;
mod support;
