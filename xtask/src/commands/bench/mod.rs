//! `cargo xtask bench`: the program of `crates/bench`, on services of its own.

mod needs;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::process::interrupt;
use anyhow::bail;

use crate::build::{self, Build};
use crate::commands::test::while_building;
use crate::run_folder::RunFolder;
use crate::services::{Given, Services, locate};
use crate::shell;

/// See the help texts.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What to measure, such as `uploads`
    name: Option<String>,
    /// Passed to the benchmark: parts of it, `--part` and `--jobs` of `fleet`, or `--rounds`, `--jobs` and `--only` of `peers`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Builds with optimisation, starts services, runs the benchmark, stops the services.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let known = names(&locate::workspace().join("crates/bench/src"));
    let Some(name) = options.name.as_ref().filter(|name| known.contains(name)) else {
        let asked = options
            .name
            .as_ref()
            .map_or_else(|| "name a benchmark".to_owned(), |name| format!("no benchmark is called {name}"));
        bail!("{asked}; there are: {}", known.join(", "));
    };
    let given = Given::from_env();
    let variables = needs::ensure(name, &options.arguments, &given)?;
    Services::install(&given)?;
    let mut scratch = RunFolder::new()?;
    let mut services = while_building(&given, &scratch, Build::Release)?;

    // It finds the programs that it measures beside itself.
    let mut benchmark = Command::new(build::folder(Build::Release)?.join("bench"));
    benchmark.arg(name).args(&options.arguments).envs(services.test_variables()).envs(variables);
    let status = shell::run(&mut benchmark)?;

    services.stop()?;
    if interrupt::requested() {
        bail!("interrupted");
    }
    if !status.success() {
        scratch.keep_logs();
        bail!("bench {name} failed ({status}); the logs of RabbitMQ and MongoDB are in {}", scratch.path().display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Each benchmark is a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benchmarks_are_the_folders_of_their_crate() {
        let found = names(&locate::workspace().join("crates/bench/src"));
        assert_eq!(found, ["accounts", "aggregates", "fleet", "peers", "rescue", "uploads"]);
        assert!(names(Path::new("/missing")).is_empty());
    }
}
