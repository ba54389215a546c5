//! `cargo xtask bench`: the programs called `bench-…` of the test harness, on services of their own.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::bail;
use xtask::{interrupt, locate};

use super::test::while_building;
use crate::build::{self, Build};
use crate::scratch::Scratch;
use crate::services::{Given, Services};
use crate::shell;

/// See the help texts.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What to measure, such as `uploads`
    name: Option<String>,
    /// Passed to the benchmark
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Builds with optimisation, starts services, runs the benchmark, stops the services.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let known = names(&locate::workspace().join("crates/testkit/src/bin"));
    let Some(name) = options.name.as_ref().filter(|name| known.contains(name)) else {
        let asked = options
            .name
            .as_ref()
            .map_or_else(|| "name a benchmark".to_owned(), |name| format!("no benchmark is called {name}"));
        bail!("{asked}; there are: {}", known.join(", "));
    };
    let given = Given::from_env();
    Services::install(&given)?;
    let mut scratch = Scratch::new()?;
    let mut services = while_building(&given, &scratch, Build::Release)?;

    // It finds the programs that it measures beside itself.
    let mut benchmark = Command::new(build::folder(true)?.join(format!("bench-{name}")));
    benchmark.args(&options.arguments).envs(services.test_variables());
    let status = shell::run(&mut benchmark)?;

    services.stop()?;
    if interrupt::requested() {
        bail!("interrupted");
    }
    if !status.success() {
        scratch.keep_logs();
        bail!("bench-{name} failed ({status}); the logs of RabbitMQ and MongoDB are in {}", scratch.path().display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Files `bench-<name>.rs` and folders `bench-<name>`.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            Some(file.strip_prefix("bench-")?.trim_end_matches(".rs").to_owned())
        })
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benchmarks_are_the_programs_of_that_prefix() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bench-uploads")).unwrap();
        fs::write(folder.path().join("bench-jobs.rs"), "").unwrap();
        fs::write(folder.path().join("other.rs"), "").unwrap();
        assert_eq!(names(folder.path()), ["jobs", "uploads"]);
        assert!(names(&folder.path().join("missing")).is_empty());
    }
}
