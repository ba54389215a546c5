//! What every worker does beside its deliveries. Any number of workers may; none of them is special.

pub(crate) mod adoption;
pub(crate) mod coalescer;
pub(crate) mod database_gate;
pub(crate) mod publishing;
pub(crate) mod reconciler;
pub(crate) mod relay;
mod replaced;
pub(crate) mod rollups;
pub(crate) mod sign_of_life;
pub(crate) mod sweeper;

pub use reconciler::Reconciled;
pub(crate) use replaced::Replaced;
pub(crate) use sweeper::SpoolUse;
