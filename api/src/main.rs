//! The program: settings, logging, signals; everything else is in the library.

use std::process::ExitCode;

use api::Config;
use clap::Parser;
use program::LogArgs;
use tokio::signal::unix::{SignalKind, signal};

/// The HTTP front of Steep: takes uploads, answers at once, and leaves the slow work to workers.
///
/// Every setting is an environment variable too. An `.env` file in the working directory is read; variables that are not known
/// are ignored.
#[derive(Debug, Parser)]
#[command(name = "api", version)]
struct Arguments {
    #[command(flatten)]
    api: api::Args,
    #[command(flatten)]
    log: LogArgs,
}

fn main() -> ExitCode {
    match settings() {
        Ok(config) => run(config),
        Err(line) => refuse(&line),
    }
}

fn settings() -> Result<Config, String> {
    program::read_env_file().map_err(|error| error.to_string())?;
    let Arguments { api, log } = program::arguments().map_err(|error| error.to_string())?;
    log.start().map_err(|error| error.to_string())?;
    Config::from_args(api).map_err(|error| error.to_string())
}

#[tokio::main]
async fn run(config: Config) -> ExitCode {
    // Asked for before anything starts, so that no signal finds the default, which is to die at once.
    let signals =
        signal(SignalKind::terminate()).and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => return refuse(&format!("cannot listen for signals: {error}")),
    };
    let mut stop = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let running = tokio::select! {
        started = api::start(config) => match started {
            Ok(running) => running,
            Err(error) => return refuse(&error.to_string()),
        },
        () = stop() => return ExitCode::SUCCESS,
    };
    stop().await;
    tracing::info!("stopping; once more to stop at once");
    tokio::select! {
        () = running.stop() => {}
        () = stop() => tracing::warn!("stopped in the middle of requests"),
    }
    ExitCode::SUCCESS
}

fn refuse(cause: &str) -> ExitCode {
    program::refuse("api", cause)
}
