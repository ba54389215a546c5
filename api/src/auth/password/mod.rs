//! Passwords: what they may be, and how they are hashed and checked.

mod argon;
mod common;
mod policy;
mod pool;

pub use pool::{Error as PasswordError, Passwords, Verdict};

pub(crate) use policy::{is_printable, refusal_of_password};
