//! Passwords: what they may be, and how they are hashed and checked.

mod argon;
mod line;
mod policy;
mod pool;
mod stored;

pub(crate) use line::Asker;
pub(crate) use policy::{is_printable, refusal_of_password};
pub(crate) use pool::{Passwords, Verdict};
