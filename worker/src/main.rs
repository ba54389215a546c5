//! The worker: see `worker --help` and the library's documentation.

use std::process::ExitCode;

use clap::Parser;
use cloudinary::CloudinaryArgs;
use program::{BoxError, LogArgs, TraceArgs};
use spool::SpoolArgs;
use worker::commands::Command;
use worker::{Config, Settings};

/// Performs Steep's jobs: moves uploaded files to Cloudinary and keeps MongoDB informed.
///
/// Every setting is an environment variable too. An `.env` file in the working directory is read; variables that are not
/// known are ignored.
///
/// Ends with 0 after SIGTERM or SIGINT, with 1 after a defect, with 2 when the configuration cannot work.
///
/// With a command it does that instead of working, and needs only the settings that the command uses.
#[derive(Debug, Parser)]
#[command(name = "worker", version)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    worker: Settings,
    #[command(flatten)]
    store: store::Config,
    #[command(flatten)]
    broker: broker::Config,
    #[command(flatten)]
    cloudinary: CloudinaryArgs,
    #[command(flatten)]
    spool: SpoolArgs,

    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    traces: TraceArgs,
}

fn main() -> ExitCode {
    // A command has ended before its spans would be worth a collector.
    program::run("worker", |args: &Args| (&args.log, Some(&args.traces).filter(|_| args.command.is_none())), run)
}

async fn run(args: Args) -> Result<ExitCode, BoxError> {
    if let Some(command) = args.command {
        return Ok(command.run(args.store, args.broker, &args.spool, args.worker.reach).await);
    }
    let config = Config {
        settings: args.worker,
        store: args.store.check("steep-worker")?,
        broker: args.broker.named("worker"),
        cloudinary: cloudinary::Config::try_from(args.cloudinary)?,
        // Last, because it touches the disk.
        spool: args.spool.open()?,
    };
    program::serve(worker::start(config)).await
}
