//! Faults: what can go wrong on request, for tests of what stands on the server.

mod definition;
mod registry;

pub use definition::{Effect, Fault, Moment, When};
pub use registry::InstalledFault;
pub(crate) use registry::{Faults, Quota, Target};
