//! The worker: it takes deliveries, performs jobs, and keeps the promise that every accepted job ends.
//!
//! A delivery is handled in one order, from which everything else follows: decode it, claim the job, perform it, record the
//! outcome, remove the file, acknowledge. Whatever dies in between, the broker delivers the message again, or the lease runs
//! out and a relay publishes it again, and the claim tells what is left to do. Outcomes are fenced by the number of the
//! attempt, so of two workers that believe to hold a job one can record something.
//!
//! Every worker also runs a relay, which publishes jobs that nobody else has published, a sweeper, which removes files that
//! nobody needs, a coalescer, which has changed channels counted, and a reconciler, which compares counts with recounts. Any number of workers may run; none of them is special.

mod adoption;
mod attempt;
mod by_hand;
mod coalescer;
mod company;
mod config;
mod consume;
mod context;
mod database;
mod decide;
mod error;
mod health;
mod jobs;
mod parts;
mod patience;
mod process;
mod reconciler;
mod record;
mod relay;
mod rescue;
mod retry;
mod sweeper;
mod worker;

pub use by_hand::{adopt, reconcile};
pub use config::{Settings, WorkerArgs};
pub use error::Error;
pub use health::Readiness;
pub use reconciler::Reconciled;
pub use retry::RetryPolicy;
pub use worker::{Config, Running, Worker};
