//! The store against a real MongoDB. Every test has a database of its own.

mod accept;
mod adopted;
mod claim;
mod faults;
mod finish;
mod relay;
mod supersede;
mod support;
