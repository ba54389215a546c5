//! Starting, ending, and being asked by hand.

mod commands;
mod ending;
mod program;
mod starting;
