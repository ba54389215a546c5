//! The worker: see `worker --help` and the library's documentation.

use std::process::ExitCode;

use broker::BrokerArgs;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, ValueEnum};
use cloudinary::CloudinaryArgs;
use spool::SpoolArgs;
use store::StoreArgs;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use worker::{Config, Error, Worker, WorkerArgs};

/// Performs Steep's jobs: moves uploaded files to Cloudinary and keeps MongoDB informed.
///
/// Ends with 0 after SIGTERM or SIGINT, with 1 after a defect, with 2 when the configuration cannot work.
#[derive(Debug, Parser)]
#[command(name = "worker", version)]
struct Args {
    #[command(flatten)]
    worker: WorkerArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    cloudinary: CloudinaryArgs,
    #[command(flatten)]
    spool: SpoolArgs,

    /// What to log, as in info,worker=debug
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info,lapin=off")]
    log: String,

    /// How to log
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What went wrong before there was anything to log.
const CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => error.exit(),
        Err(error) => return refuse(&one_line(&error)),
    };
    if let Err(cause) = start_logging(&args) {
        return refuse(&cause);
    }
    let config = match config(args) {
        Ok(config) => config,
        Err(error) => return refuse(&error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return refuse(&format!("cannot start threads: {cause}")),
    };
    runtime.block_on(run(config))
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
        broker: args.broker.config("worker")?,
        cloudinary: cloudinary::Config::try_from(args.cloudinary)?,
        // Last, because it touches the disk.
        spool: args.spool.open()?,
    })
}

fn start_logging(args: &Args) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(&args.log).map_err(|cause| format!("RUST_LOG: expected a filter such as info: {cause}"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// One line that names the environment variable as well, since that is how most settings come.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else { return line };
    let command = Args::command();
    let named = |argument: &&clap::Arg| {
        argument.get_long().is_some_and(|long| given.split_whitespace().next() == Some(&format!("--{long}")))
    };
    match command.get_arguments().find(named).and_then(clap::Arg::get_env) {
        Some(variable) => format!("{}: {line}", variable.to_string_lossy()),
        None => line,
    }
}

#[allow(
    clippy::print_stderr,
    reason = "the one line that tells why there is no worker must not depend on the log filter"
)]
fn refuse(cause: &str) -> ExitCode {
    eprintln!("worker: {cause}");
    ExitCode::from(CONFIGURATION)
}
