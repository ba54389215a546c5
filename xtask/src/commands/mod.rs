//! One file per command.

pub mod bench;
pub mod chaos;
pub mod compose;
pub mod dev;
pub mod fuzz;
pub mod screenshots;
pub mod services;
pub mod test;
