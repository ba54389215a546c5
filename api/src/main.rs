//! The program; everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use program::{LogArgs, TraceArgs};

/// The HTTP front of Steep: takes uploads, answers at once, and leaves the slow work to workers.
///
/// Every setting is an environment variable too. An `.env` file in the working directory is read; variables that are
/// not known are ignored.
#[derive(Debug, Parser)]
#[command(name = "api", version)]
struct Arguments {
    #[command(flatten)]
    api: api::Config,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    traces: TraceArgs,
}

fn main() -> ExitCode {
    program::run(
        "api",
        |arguments: &Arguments| (&arguments.log, Some(&arguments.traces)),
        async |arguments| program::serve(api::start(arguments.api)).await,
    )
}
