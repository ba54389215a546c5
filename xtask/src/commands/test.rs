//! `cargo xtask test`: the whole suite on services of its own.

use std::process::{Command, ExitCode};
use std::thread;

use xtask::interrupt;

use crate::build::{self, Build, cargo};
use crate::scratch::Scratch;
use crate::services::{Given, Services};
use crate::shell;

/// See the help texts.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Passed to `cargo nextest run`, or to `cargo test` where nextest is not installed: -p messages, a name, ...
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Builds, starts services, runs the suite, stops the services.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let given = Given::from_env();
    Services::install(&given)?;
    let mut scratch = Scratch::new()?;
    let mut services = while_building(&given, &scratch, Build::Tests)?;

    let nextest = has_nextest();
    let mut suite = suite(nextest, &options.arguments);
    suite.envs(services.test_variables());
    let mut status = shell::run(&mut suite)?;
    if status.success() && nextest && options.arguments.is_empty() {
        // nextest does not run them.
        let mut examples = cargo();
        status =
            shell::run(examples.args(["test", "--quiet", "--workspace", "--doc"]).envs(services.test_variables()))?;
    }

    services.stop()?;
    if interrupt::requested() {
        anyhow::bail!("interrupted");
    }
    if status.success() {
        println!("all tests passed");
        return Ok(ExitCode::SUCCESS);
    }
    scratch.keep_logs();
    println!("tests failed; the logs of RabbitMQ and MongoDB are in {}", scratch.path().display());
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

/// Starts private services and builds meanwhile: a broker takes seconds to come up and hardly any processor.
pub fn while_building(given: &Given, scratch: &Scratch, build: Build) -> anyhow::Result<Services> {
    thread::scope(|scope| {
        let services = scope.spawn(|| Services::start_private(given, scratch.path()));
        let built = build::programs(build);
        let services = services.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the starting thread panicked")));
        built.and(services)
    })
}

fn has_nextest() -> bool {
    let output = cargo().args(["nextest", "--version"]).output();
    output.is_ok_and(|output| output.status.success())
}

fn suite(nextest: bool, arguments: &[String]) -> Command {
    let mut command = cargo();
    if nextest {
        command.args(["nextest", "run"]);
    } else {
        command.arg("test");
    }
    if !selects_packages(arguments) {
        command.arg("--workspace");
    }
    command.args(arguments);
    command
}

/// `--workspace` beside a selection would override it.
fn selects_packages(arguments: &[String]) -> bool {
    arguments.iter().take_while(|argument| *argument != "--").any(|argument| {
        let long = ["--package", "--workspace", "--all", "--manifest-path"]
            .iter()
            .any(|option| argument.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')));
        long || (argument.starts_with("-p") && !argument.starts_with("--"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn line(nextest: bool, arguments: &str) -> String {
        let command = suite(nextest, &words(arguments));
        command.get_args().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_whole_workspace_is_tested_unless_packages_are_selected() {
        assert_eq!(line(true, ""), "nextest run --workspace");
        assert_eq!(line(false, ""), "test --workspace");
        assert_eq!(line(true, "a_name --no-fail-fast"), "nextest run --workspace a_name --no-fail-fast");
        assert_eq!(line(true, "-p messages wire"), "nextest run -p messages wire");
        assert_eq!(line(false, "-pmessages"), "test -pmessages");
        assert_eq!(line(true, "--package=store"), "nextest run --package=store");
        assert_eq!(line(false, "name -- -p"), "test --workspace name -- -p");
        assert_eq!(line(true, "--all-features"), "nextest run --workspace --all-features");
    }
}
