//! `cargo xtask chaos`: everything is broken in turn while clients upload and subscribe; then nothing may be lost, doubled or left
//! behind. docs/testing.md tells what is done and what is checked.

#![allow(clippy::print_stdout, reason = "the report is what this program is for")]

mod aggregates;
mod answers;
mod child;
mod clients;
mod conductor;
mod fault;
mod ledger;
mod quiet;
mod report;
mod schedule;
mod state;
mod system;
mod uploads;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use fastrand::Rng;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use clients::Client;
use conductor::Log;
use ledger::Ledger;
use report::Report;
use state::State;
use system::System;

const UPLOADERS: usize = 8;
const SUBSCRIBERS: usize = 3;
/// Seconds: a run of three times this length has clients that pause three times as long.
const CALMER_EVERY: u64 = 600;

/// See `cargo xtask chaos --help`.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where everything is kept
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    seconds: u64,
    #[arg(long)]
    seed: Option<u64>,
    /// Print the schedule and stop
    #[arg(long)]
    schedule: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(1..1_000_000));
    if arguments.schedule {
        for event in schedule::draw(seed, Duration::from_secs(arguments.seconds)) {
            println!("{:>8.1} s  {}", event.at.as_secs_f64(), event.fault);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // What is dropped in either case is killed, also if it is stopped at the moment.
    tokio::select! {
        result = Box::pin(run(&arguments, seed)) => result,
        _ = interrupted.recv() => Ok(ExitCode::FAILURE),
        _ = terminated.recv() => Ok(ExitCode::FAILURE),
    }
}

async fn run(arguments: &Arguments, seed: u64) -> anyhow::Result<ExitCode> {
    println!("chaos: seed {seed}; the same schedule again: --seed {seed} and the same length");
    let system = Arc::new(System::start(&arguments.folder).await?);
    let ledger = Arc::new(Ledger::create(&system.folder.join("ledger.jsonl"))?);
    let (log, stop, stop_watching) = (Arc::new(Log::default()), CancellationToken::new(), CancellationToken::new());
    let watching = tokio::spawn(conductor::watch(system.clone(), log.clone(), stop_watching.clone()));

    // A long run need not fill the disk.
    let calm = u32::try_from(arguments.seconds / CALMER_EVERY)?.clamp(1, 10);
    let mut rng = Rng::with_seed(seed);
    let mut clients = JoinSet::new();
    for _ in 0..UPLOADERS {
        clients.spawn(Client::new(&system.apis, &ledger, rng.fork(), &stop, calm)?.upload());
    }
    for _ in 0..SUBSCRIBERS {
        clients.spawn(Client::new(&system.apis, &ledger, rng.fork(), &stop, calm)?.subscribe());
    }
    let length = Duration::from_secs(arguments.seconds);
    conductor::perform(&system, schedule::draw(seed, length), &log, &stop).await;
    tracing::info!("the faults are over; clients finish what they are at");
    stop.cancel();
    while let Some(client) = clients.join_next().await {
        client??;
    }

    let database = mongodb::Client::with_uri_str(&system.mongodb).await?.database(system::DATABASE);
    tracing::info!("waiting for quiet");
    let quiet = quiet::wait(&system, &database).await?;
    stop_watching.cancel();
    watching.await?;

    let state = State::read(&database, &system.media).await?;
    let (entries, struck) = (ledger.entries(), log.struck());
    let workers = system.worker_pids().await?;
    let mut programs = log.trouble();
    programs.extend(panics(&system)?);
    let found = [
        ("programs", programs),
        ("answers", answers::check(&entries, &struck)),
        ("uploads", uploads::check(&entries, &struck, &workers, &state).await),
        ("counts", aggregates::check(&ledger, &state)),
        ("not quiet", quiet.unrest),
    ];
    let (quiet_after, last) = (quiet.after, &quiet.last);
    let left_out = system.clocks.as_ref().err().map(|reason| format!("wrong clocks: {reason}"));
    let report = Report {
        seed,
        length,
        quiet_after,
        entries: &entries,
        struck: &struck,
        state: &state,
        last,
        left_out: left_out.as_deref(),
        found: &found,
    };
    report.print();
    let violations: usize = found.iter().map(|(_, found)| found.len()).sum();
    if violations > 0 {
        println!("{violations} violations; seed {seed}");
        return Ok(ExitCode::FAILURE);
    }
    println!("nothing lost, nothing doubled, nothing left behind");
    Ok(ExitCode::SUCCESS)
}

/// Panics that the logs of our programs tell of.
fn panics(system: &System) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for target in system.programs() {
        let log = std::fs::read_to_string(system.folder.join(format!("{target}.log")))?;
        found.extend(log.lines().filter(|line| line.contains("panicked at")).map(|line| format!("{target}: {line}")));
    }
    Ok(found)
}
