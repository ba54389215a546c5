//! Signing in, sessions and tokens.

mod credentials;
mod limits;
mod login;
mod session_model;
mod session_races;
mod sessions;
mod tokens;
mod turns;
