//! The program: settings, logging, signals; everything else is in the library.

use std::io::Write;
use std::process::ExitCode;

use api::Config;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A setting that cannot work.
const BAD_SETTING: u8 = 2;

fn main() -> ExitCode {
    match settings() {
        Ok(config) => run(config),
        Err(line) => fail(&line),
    }
}

fn settings() -> Result<Config, String> {
    match dotenvy::from_path(".env") {
        Err(error) if !error.not_found() => return Err(format!(".env: expected lines such as NAME=value: {error}")),
        _ => {}
    }
    api::parse()
}

#[tokio::main]
async fn run(config: Config) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();

    // Asked for before anything starts, so that no signal finds the default, which is to die at once.
    let signals =
        signal(SignalKind::terminate()).and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot listen for signals: {error}")),
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
            Err(error) => return fail(&error.to_string()),
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

fn fail(line: &str) -> ExitCode {
    // If nobody reads it there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "api: {line}");
    ExitCode::from(BAD_SETTING)
}
