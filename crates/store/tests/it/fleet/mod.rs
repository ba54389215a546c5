//! The fleet: what workers tell of themselves, what they are told, and what has ended.

mod controls;
mod rollups;
mod workers;
