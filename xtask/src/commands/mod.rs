//! One file per command.

pub mod services;
