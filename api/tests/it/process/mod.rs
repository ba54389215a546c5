//! The program as a process.

mod program;
mod settings;
