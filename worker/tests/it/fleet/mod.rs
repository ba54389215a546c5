//! The fleet: what workers tell of themselves, and what they are told.

mod drain;
mod paused;
mod signs;
