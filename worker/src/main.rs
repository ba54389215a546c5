//! The worker: see `worker --help` and the library's documentation.

use std::process::ExitCode;

use clap::Parser;
use cloudinary::CloudinaryArgs;
use program::LogArgs;
use spool::SpoolArgs;
use store::StoreArgs;
use tokio::signal::unix::{Signal, SignalKind, signal};
use worker::commands::{Command, Services};
use worker::{Config, Error, Worker, WorkerArgs};

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
    worker: WorkerArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    broker: broker::Config,
    #[command(flatten)]
    cloudinary: CloudinaryArgs,
    #[command(flatten)]
    spool: SpoolArgs,

    #[command(flatten)]
    log: LogArgs,
}

/// What this process is for.
enum Task {
    Work(Box<Config>),
    Command(Command, Services),
}

fn main() -> ExitCode {
    let task = match task() {
        Ok(task) => task,
        Err(line) => return refuse(&line),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return refuse(&format!("cannot start threads: {cause}")),
    };
    match task {
        Task::Work(config) => runtime.block_on(run(*config)),
        Task::Command(command, services) => runtime.block_on(command.run(services)),
    }
}

fn task() -> Result<Task, String> {
    program::read_env_file().map_err(|error| error.to_string())?;
    let mut args: Args = program::arguments().map_err(|error| error.to_string())?;
    args.log.start().map_err(|error| error.to_string())?;
    match args.command.take() {
        None => Ok(Task::Work(Box::new(config(args).map_err(|error| error.to_string())?))),
        Some(command) => {
            let services = Services { store: args.store, broker: args.broker, spool: args.spool };
            Ok(Task::Command(command, services))
        }
    }
}

async fn run(config: Config) -> ExitCode {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (mut terminate, mut interrupt) = match signals {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(cause), _) | (_, Err(cause)) => return refuse(&format!("cannot listen for signals: {cause}")),
    };
    let started = tokio::select! {
        started = Worker::start(config) => started,
        () = told_to_stop(&mut terminate, &mut interrupt) => return ExitCode::SUCCESS,
    };
    let mut running = match started {
        Ok(running) => running,
        Err(error) => return refuse(&error.to_string()),
    };
    let crash = tokio::select! {
        error = running.ended() => Some(error),
        () = told_to_stop(&mut terminate, &mut interrupt) => None,
    };
    if let Some(error) = &crash {
        tracing::error!(%error, "stopping because of a defect");
    }
    // A second signal ends it without grace.
    running.shutdown(told_to_stop(&mut terminate, &mut interrupt)).await;
    if crash.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn told_to_stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM"),
        _ = interrupt.recv() => tracing::info!("SIGINT"),
    }
}

fn config(args: Args) -> Result<Config, Error> {
    Ok(Config {
        settings: args.worker.settings()?,
        store: store::Config::from_args(args.store, "steep-worker")?,
        broker: args.broker.named("worker"),
        cloudinary: cloudinary::Config::try_from(args.cloudinary)?,
        // Last, because it touches the disk.
        spool: args.spool.open()?,
    })
}

fn refuse(cause: &str) -> ExitCode {
    program::refuse("worker", cause)
}
