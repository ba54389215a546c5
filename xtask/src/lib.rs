#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program talks to its terminal")]
//! `cargo xtask`: everything a developer runs besides cargo itself. And private copies of RabbitMQ and MongoDB: found on the
//! machine, started in a folder, stopped without a trace.
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

mod build;
mod commands;
mod error;
pub mod peers;
pub mod process;
mod run_folder;
pub mod services;
mod shell;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use crate::error::Error;
use crate::process::interrupt;

/// Development commands of Steep.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring up everything on this machine: RabbitMQ, MongoDB, a local media host, the api and a worker; Ctrl-C ends it
    Dev(commands::dev::Options),
    /// Run the whole test suite on services of its own
    Test(commands::test::Options),
    /// Start or stop private copies of RabbitMQ and MongoDB in the background
    #[command(subcommand)]
    Services(commands::services::Command),
    /// Measure, on services of its own and with optimised programs
    Bench(commands::bench::Options),
    /// Break everything in turn while clients upload, then look for anything that was lost, doubled or left behind
    Chaos(commands::chaos::Options),
    /// Try `docker compose up`: build the image, start everything, upload, kill the worker and RabbitMQ, upload again
    Compose,
    /// Take the pictures of the pages of operators in docs/screenshots anew; needs Chromium and Node
    Screenshots,
    /// Let a fuzzer make up messages, replies and forms; needs a nightly compiler and cargo-fuzz
    Fuzz(commands::fuzz::Options),
}

/// Names the file in which tests note that they were skipped, and why: a test runner shows nothing of what has passed.
pub const SKIPPED: &str = "STEEP_TEST_SKIPPED";

/// Does what the command line says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = ctrlc::set_handler(interrupt::record) {
        eprintln!("error: cannot handle signals: {error}");
        return ExitCode::FAILURE;
    }
    let result = match arguments.command {
        Command::Dev(options) => commands::dev::run(&options),
        Command::Test(options) => commands::test::run(&options),
        Command::Services(command) => commands::services::run(&command),
        Command::Bench(options) => commands::bench::run(&options),
        Command::Chaos(options) => commands::chaos::run(&options),
        Command::Compose => commands::compose::run(),
        Command::Screenshots => commands::screenshots::run(),
        Command::Fuzz(options) => commands::fuzz::run(&options),
    };
    match result {
        Ok(code) => code,
        // What the shell reports for a program that SIGINT ended.
        Err(_) if interrupt::requested() => {
            eprintln!("interrupted");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
