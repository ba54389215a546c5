//! `cargo xtask fuzz`: the targets of `fuzz/`, each for a while, with what they need around them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::process::interrupt;
use anyhow::{Context as _, bail};

use crate::run_folder::RunFolder;
use crate::services::{Given, MongoDb, install, locate};
use crate::shell;

/// The target that needs a database.
const WITH_DATABASE: &str = "multipart";
/// The longest input that is made up, in bytes: above every limit that a target has to run into.
const LONGEST: &str = "20000";
/// Inputs of a target that are kept: the shortest. The rest is soon found again.
const KEPT: usize = 200;
/// An input that takes longer, in seconds, is a finding.
const SLOW: &str = "25";

/// See the help texts.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What to fuzz, such as `envelope`; without it every target in turn
    target: Option<String>,
    /// How long, for each target
    #[arg(long, default_value_t = 10, value_name = "COUNT")]
    minutes: u64,
    /// How long, for short runs
    #[arg(long, conflicts_with = "minutes", value_name = "COUNT")]
    seconds: Option<u64>,
    /// Afterwards put the smallest set of inputs that reaches as much into fuzz/corpus, 200 of them at most
    #[arg(long)]
    keep: bool,
}

/// Runs the targets one after the other; stops at the first that finds something.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let folder = locate::workspace().join("fuzz");
    let known = names(&folder.join("fuzz_targets"));
    let targets = match &options.target {
        None => known,
        Some(target) if known.contains(target) => vec![target.clone()],
        Some(target) => bail!("no fuzz target is called {target}; there are: {}", known.join(", ")),
    };
    ensure_tools()?;
    let seconds = options.seconds.unwrap_or(options.minutes * 60);
    for target in targets {
        fuzz(&folder, &target, seconds, options.keep)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn fuzz(folder: &Path, target: &str, seconds: u64, keep: bool) -> anyhow::Result<()> {
    let found = locate::steep_folder().join("fuzz").join(target);
    let (seeds, kept) = (folder.join("seeds").join(target), folder.join("corpus").join(target));
    for corpus in [&found, &kept] {
        fs::create_dir_all(corpus).with_context(|| format!("creating {}", corpus.display()))?;
    }
    let scratch = RunFolder::new()?;
    let given = Given::from_env();
    let mut database = None;
    let mut uri = given.mongodb;
    if target == WITH_DATABASE && uri.is_none() {
        install::ensure(false, true)?;
        let started = MongoDb::start(&scratch.path().join("mongodb"))?;
        uri = Some(started.url());
        database = Some(started);
    }

    let fuzzer = || {
        let mut command = cargo_fuzz(folder);
        command.args(["run", target]).envs(uri.iter().map(|uri| ("STEEP_TEST_MONGODB_URI", uri)));
        command
    };
    let mut command = fuzzer();
    // What is new goes into the first folder.
    command.args([&found, &kept, &seeds]).arg("--");
    command.args([format!("-max_total_time={seconds}"), format!("-max_len={LONGEST}"), format!("-timeout={SLOW}")]);
    command.arg(format!("-dict={}", folder.join("dictionaries").join(format!("{target}.dict")).display()));
    command.args(["-print_final_stats=1", "-rss_limit_mb=2048"]);
    let status = shell::run(&mut command)?;
    if !interrupt::requested() && status.success() && keep {
        let smallest = scratch.path().join("corpus");
        fs::create_dir_all(&smallest).with_context(|| format!("creating {}", smallest.display()))?;
        let merge = ["--", "-set_cover_merge=1", "-use_counters=0"];
        shell::check(fuzzer().args([&smallest, &kept, &found]).args(merge))?;
        replace(&kept, &smallest, KEPT)?;
    }
    if let Some(database) = &mut database {
        database.stop()?;
    }
    if interrupt::requested() {
        bail!("interrupted");
    }
    if !status.success() {
        bail!(
            "{target} found something ({status}): the input and how to repeat it stand above; docs/testing.md says what to do"
        );
    }
    println!("{target}: {seconds} s without a finding");
    Ok(())
}

/// The compiler's checks for memory and the fuzzer's counters exist in its nightly versions only.
fn cargo_fuzz(folder: &Path) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "fuzz"]).current_dir(folder);
    // Those of the cargo that runs us mean another toolchain and another package.
    for variable in ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "RUSTUP_TOOLCHAIN", "RUSTFLAGS"] {
        command.env_remove(variable);
    }
    command
}

fn ensure_tools() -> anyhow::Result<()> {
    let folder = locate::workspace().join("fuzz");
    let mut version = cargo_fuzz(&folder);
    let output = version.arg("--version").stdin(Stdio::null()).output();
    if output.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    bail!("fuzzing needs `rustup toolchain install nightly` and `cargo install cargo-fuzz --locked`");
}

/// The names of the programs in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned())).collect();
    names.sort();
    names
}

/// Puts the shortest files of `from` in the place of those in `to`.
fn replace(to: &Path, from: &Path, count: usize) -> anyhow::Result<()> {
    let files = |folder: &Path| -> anyhow::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        Ok(entries.flatten().map(|entry| entry.path()).collect())
    };
    for old in files(to)? {
        fs::remove_file(&old).with_context(|| format!("removing {}", old.display()))?;
    }
    let mut new = files(from)?;
    new.sort_by_cached_key(|file| (file.metadata().map_or(u64::MAX, |file| file.len()), file.clone()));
    for file in new.iter().take(count) {
        let Some(name) = file.file_name() else { continue };
        fs::copy(file, to.join(name)).with_context(|| format!("copying {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_dictionary_and_inputs_to_begin_with() {
        let folder = locate::workspace().join("fuzz");
        let targets = names(&folder.join("fuzz_targets"));
        assert!(targets.iter().any(|target| target == WITH_DATABASE), "{targets:?}");
        let listed = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for target in targets {
            assert!(listed.contains(&format!("name = \"{target}\"")), "{target} is not in fuzz/Cargo.toml");
            assert!(folder.join("dictionaries").join(format!("{target}.dict")).is_file(), "{target}");
            assert!(fs::read_dir(folder.join("seeds").join(&target)).unwrap().count() > 0, "{target}");
        }
    }

    #[test]
    fn what_was_kept_is_replaced_by_the_shortest_that_are_new() {
        let (to, from) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(to.path().join("old"), "old").unwrap();
        for (name, content) in [("long", "12345"), ("short", "1"), ("middle", "123")] {
            fs::write(from.path().join(name), content).unwrap();
        }
        replace(to.path(), from.path(), 2).unwrap();
        let mut left: Vec<_> = fs::read_dir(to.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["middle", "short"]);
    }
}
