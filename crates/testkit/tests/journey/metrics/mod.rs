//! `/metrics` of both programs.

mod away;
mod moving;
mod watch;
