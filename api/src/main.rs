//! The program; everything else is in the library.

use std::process::ExitCode;

use api::commands::Command;
use clap::Parser;
use program::{LogArgs, TraceArgs};

/// The HTTP front of Steep: takes uploads, answers at once, and leaves the slow work to workers.
///
/// Every setting is an environment variable too. An `.env` file in the working directory is read; variables that are
/// not known are ignored.
///
/// With a command it does that instead of serving, and needs only the settings that the command uses.
#[derive(Debug, Parser)]
#[command(name = "api", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

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
        // A command has ended before its spans would be worth a collector.
        |arguments: &Arguments| (&arguments.log, Some(&arguments.traces).filter(|_| arguments.command.is_none())),
        async |arguments| match arguments.command {
            Some(command) => Ok(command.run(&arguments.api).await),
            None => program::serve(api::start(arguments.api)).await,
        },
    )
}
