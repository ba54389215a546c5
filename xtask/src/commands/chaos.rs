//! `cargo xtask chaos`: the program of `crates/chaos`, which starts, breaks and restarts everything else itself.

use std::process::{Command, ExitCode};

use crate::process::interrupt;
use anyhow::bail;

use crate::build::{self, Build};
use crate::run_folder::RunFolder;
use crate::services::{Given, Services};
use crate::shell;

/// See the help texts.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// How long to break things
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    minutes: u64,
    /// How long to break things, for short runs
    #[arg(long, conflicts_with = "minutes", value_name = "COUNT")]
    seconds: Option<u64>,
    /// Which schedule of faults; a run without one draws it, and says which
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Print the schedule of that seed and stop
    #[arg(long)]
    schedule: bool,
    /// Build the programs with optimisation
    #[arg(long)]
    release: bool,
}

/// Builds the programs and runs `chaos` in a folder of its own, which stays if it found something.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    // It kills its services, so it never takes those of somebody else.
    Services::install(&Given::default())?;
    // As for the tests, after which nothing is left to compile.
    let build = if options.release { Build::Release } else { Build::Tests };
    build::programs(build)?;
    let mut scratch = RunFolder::new()?;

    let mut chaos = Command::new(build::folder(build)?.join("chaos"));
    chaos.arg("--folder").arg(scratch.path());
    chaos.args(["--seconds", &options.seconds.unwrap_or(options.minutes * 60).to_string()]);
    if let Some(seed) = options.seed {
        chaos.args(["--seed", &seed.to_string()]);
    }
    if options.schedule {
        chaos.arg("--schedule");
    }
    let status = shell::run(&mut chaos)?;

    if interrupt::requested() {
        bail!("interrupted");
    }
    if !status.success() {
        scratch.keep_logs();
        println!("the ledger and the logs of everything are in {}", scratch.path().display());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
