//! Private copies of RabbitMQ and MongoDB: found on the machine, started in a folder, stopped without a trace.
//!
//! `cargo xtask` runs them for development and for the test suite, and a test that has to stop, kill or restart a service
//! starts one of its own through the same types:
//!
//! ```no_run
//! # fn main() -> Result<(), xtask::Error> {
//! let folder = tempfile::tempdir().expect("a temporary folder");
//! let mut broker = xtask::services::RabbitMq::start(folder.path())?;
//! let url = broker.url(); // amqp://guest:guest@127.0.0.1:…
//! broker.kill()?;         // SIGKILL: what a crash looks like
//! broker.start_again()?;  // the same ports, the same data
//! broker.stop()?;         // orderly
//! # Ok(())
//! # }
//! ```
//!
//! Everything here blocks; from async code call it through `spawn_blocking`. A service dies with the value that owns it
//! (`Drop` kills it) and, on Linux, with the process that started it, even if that is killed with SIGKILL.

mod error;
mod identity;
pub mod interrupt;
mod kept;
pub mod locate;
pub mod mongo_wire;
mod mongodb;
pub mod ports;
mod process;
mod rabbitmq;

pub use error::Error;
pub use identity::Identity;
pub use kept::Kept;
pub use process::{Lifetime, Process, tail};

/// Names the file in which tests note that they were skipped, and why: a test runner shows nothing of what has passed.
pub const SKIPPED: &str = "STEEP_TEST_SKIPPED";

/// The two services.
pub mod services {
    pub use crate::mongodb::{MongoDb, MongoDbRecord};
    pub use crate::rabbitmq::{RabbitMq, RabbitMqPorts, RabbitMqRecord};
}
