//! The worker: it takes deliveries, performs jobs, and keeps the promise that every accepted job ends.
//!
//! A delivery is handled in one order, from which everything else follows: decode it, claim the job, perform it, record the
//! outcome, remove the file, acknowledge. Whatever dies in between, the broker delivers the message again, or the lease runs
//! out and a relay publishes it again, and the claim tells what is left to do. Outcomes are fenced by the number of the
//! attempt, so of two workers that believe to hold a job one can record something.
//!
//! Every worker also runs a relay, which publishes jobs that nobody else has published, a sweeper, which removes files that
//! nobody needs, a coalescer, which has changed channels counted, and a reconciler, which compares counts with recounts. Any number
//! of workers may run; none of them is special.

pub mod commands;
mod config;
mod context;
mod delivery;
mod error;
mod health;
mod identity;
mod jobs;
mod maintenance;
mod media_host;
mod metrics;
mod retry;
mod start;
mod supervisor;

pub use config::Settings;
pub use error::Error;
pub use health::Readiness;
pub use maintenance::Reconciled;
pub use retry::RetryPolicy;
pub use start::{Config, Running, start};
