//! `cargo xtask test`: the whole suite on services of its own.

use std::os::unix::process::CommandExt as _;
use std::panic::resume_unwind;
use std::process::{Command, ExitCode};
use std::thread;
use std::{env, fs};

use crate::SKIPPED;
use crate::process::interrupt;
use anyhow::Context as _;

use crate::build::{self, Build, cargo};
use crate::run_folder::RunFolder;
use crate::services::{Given, Services, rabbitmq_versions};
use crate::shell;

/// Tests in which much depends on what the broker does.
const OF_THE_BROKER: &str = "package(broker) or package(worker) or \
                             (package(api) and test(/^uploads::(outages|pressure)::/)) or \
                             (package(testkit) and test(/^(broker|crashes|first_release|kills|neighbourhood|outages|poison|uploads)::/))";

/// How many tests run at once.
const THREADS: &str = "NEXTEST_TEST_THREADS";

/// See the help texts.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Run the tests of the broker, or those named, on this RabbitMQ: 4.0 or 4.3 as root, others as docs/testing.md says
    #[arg(long, value_name = "VERSION")]
    rabbitmq: Option<String>,
    /// Passed to `cargo nextest run`, or to `cargo test` where nextest is not installed: -p messages, a name, ...
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Builds, starts services, runs the suite, stops the services.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let given = Given::from_env();
    if let Some(version) = &options.rabbitmq
        && given.rabbitmq.is_none()
        && env::var_os("STEEP_RABBITMQ_SERVER").is_none()
    {
        return again_with(version);
    }
    Services::install(&given)?;
    let mut scratch = RunFolder::in_memory()?;
    let mut services = while_building(&given, &scratch, Build::Tests)?;
    services.expect_many_databases()?;

    let nextest = has_nextest();
    let mut arguments = options.arguments.clone();
    if let Some(version) = &options.rabbitmq {
        let management = services.management_url.as_deref().context("set RABBITMQ_MANAGEMENT_URL too")?;
        rabbitmq_versions::ensure(version, management)?;
        if arguments.is_empty() {
            arguments = of_the_broker(nextest);
        }
    }
    let mut suite = suite(nextest, &arguments);
    let skipped = scratch.path().join("skipped");
    suite.envs(services.test_variables()).env(SKIPPED, &skipped);
    let mut status = shell::run(&mut suite)?;
    if status.success() && nextest && arguments.is_empty() {
        // nextest does not run them.
        let mut examples = cargo();
        status =
            shell::run(examples.args(["test", "--quiet", "--workspace", "--doc"]).envs(services.test_variables()))?;
    }

    services.stop()?;
    // There is no file where nothing was skipped.
    print!("{}", fs::read_to_string(skipped).unwrap_or_default());
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

/// Becomes this program once more, in an environment in which every broker that is started is of that version.
fn again_with(version: &str) -> anyhow::Result<ExitCode> {
    let scripts = rabbitmq_versions::prepare(version)?;
    let mut command = Command::new(env::current_exe().context("finding this program")?);
    command.args(env::args_os().skip(1));
    command.env("STEEP_RABBITMQ_SERVER", scripts.server).env("STEEP_EPMD", scripts.epmd);
    Err(command.exec()).context("running this program again")
}

fn of_the_broker(nextest: bool) -> Vec<String> {
    if nextest {
        return ["--no-fail-fast", "-E", OF_THE_BROKER].map(str::to_owned).into();
    }
    // Without filters, the packages that have most of them.
    ["-p", "broker", "-p", "worker"].map(str::to_owned).into()
}

/// Starts private services and builds meanwhile: a broker takes seconds to come up and hardly any processor.
pub fn while_building(given: &Given, scratch: &RunFolder, build: Build) -> anyhow::Result<Services> {
    thread::scope(|scope| {
        let services = scope.spawn(|| Services::start_private(given, scratch.path()));
        let built = build::programs(build);
        let services = services.join().unwrap_or_else(|panic| resume_unwind(panic));
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
        command.args(["nextest", "run"]).args(for_nextest(arguments));
        if env::var_os(THREADS).is_none() {
            // Most tests wait for most of their time; .config/nextest.toml says which compute.
            let cores = thread::available_parallelism().map_or(1, usize::from);
            command.env(THREADS, (4 * cores).to_string());
        }
    } else {
        command.arg("test");
        if select(arguments).packages.is_empty() {
            command.arg("--workspace");
        }
        command.args(arguments);
    }
    command
}

/// A selection of packages becomes a filter over the whole workspace: cargo resolves the features of a selection differently,
/// and would compile most dependencies a second time. A caller who filters already knows what to write.
fn for_nextest(arguments: &[String]) -> Vec<String> {
    let Selection { packages, others, filtered } = select(arguments);
    let mut all = if packages.is_empty() || !filtered { vec!["--workspace".to_owned()] } else { Vec::new() };
    if packages.is_empty() || filtered {
        all.extend(arguments.iter().cloned());
        return all;
    }
    let filter: Vec<String> = packages.iter().map(|package| format!("package(={package})")).collect();
    all.extend(["-E".to_owned(), filter.join(" or ")]);
    all.extend(others);
    all
}

/// What the arguments say about packages.
#[derive(Debug, Default, PartialEq, Eq)]
struct Selection {
    packages: Vec<String>,
    others: Vec<String>,
    /// They hold a filter expression of nextest.
    filtered: bool,
}

fn select(arguments: &[String]) -> Selection {
    let mut selection = Selection::default();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--" => {
                selection.others.push(word.clone());
                selection.others.extend(words.cloned());
                break;
            }
            "-p" | "--package" => selection.packages.extend(words.next().cloned()),
            other => {
                let package = other.strip_prefix("--package=").or_else(|| other.strip_prefix("-p"));
                selection.packages.extend(package.map(str::to_owned));
                if package.is_none() {
                    selection.filtered |= other.starts_with("-E") || other.starts_with("--filter");
                    selection.others.push(word.clone());
                }
            }
        }
    }
    selection
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
        assert_eq!(line(true, "--all-features"), "nextest run --workspace --all-features");
        assert_eq!(line(true, "--profile ci"), "nextest run --workspace --profile ci");
        assert_eq!(line(false, "name -- -p"), "test --workspace name -- -p");
        assert_eq!(line(false, "-p messages wire"), "test -p messages wire");
    }

    #[test]
    fn selected_packages_become_a_filter_where_there_are_filters() {
        assert_eq!(line(true, "-p messages wire"), "nextest run --workspace -E package(=messages) wire");
        assert_eq!(
            line(true, "--package=store -pspool --package api -- -p"),
            "nextest run --workspace -E package(=store) or package(=spool) or package(=api) -- -p"
        );
        assert_eq!(line(true, "-p store -E test(claim)"), "nextest run -p store -E test(claim)");
        assert_eq!(line(true, "-E test(claim)"), "nextest run --workspace -E test(claim)");
    }
}
