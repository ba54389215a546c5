//! `cargo xtask bench fleet`: what seeing and steering the fleet costs, and how soon it answers.
//!
//! * `cost`: accept and drain rates with everything on, beside the same with it off.
//! * `streams`: from a change to the client's event, and what thousands of streams cost, of clients that read and that do not.
//! * `jobs`: every view of an operator with 5,000,000 jobs stored (`--jobs N`: so many), while uploads go on.
//! * `cancel`: from the request to the stopped transfer.
//! * `bulk`: a retry of 100,000 discarded jobs at once.
//!
//! With `--part NAME` (several times, or just the names) only those parts run.

mod bulk;
mod cancel;
mod collector;
mod cost;
mod crowd;
mod jobs;
mod latency;
mod pace;
mod stream;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use testkit::Services;

use crate::table::{Row, milliseconds};

const PARTS: [&str; 5] = ["streams", "cancel", "bulk", "cost", "jobs"];
/// Of which the issue speaks.
const JOBS: usize = 5_000_000;
/// How long a benchmark waits for something that is bound to happen.
const PATIENCE: Duration = Duration::from_secs(60);
const MIB: f64 = 1024.0 * 1024.0;

/// What is asked for on the command line.
#[derive(Debug)]
struct Options {
    parts: Vec<String>,
    jobs: usize,
    rounds: Option<usize>,
}

/// All parts, or those that are named.
pub async fn measure(root: &Path, services: &Services, words: &[String]) -> anyhow::Result<Vec<Row>> {
    let options = Options::read(words)?;
    let wanted = |name: &str| options.parts.is_empty() || options.parts.iter().any(|part| part == name);
    raise_file_limit()?;
    let mut rows = Vec::new();
    if wanted("streams") {
        rows.extend(latency::measure(root, services).await?);
        rows.extend(crowd::measure(root, services).await?);
    }
    if wanted("cancel") {
        rows.extend(cancel::measure(root, services).await?);
    }
    if wanted("bulk") {
        rows.extend(bulk::measure(root, services).await?);
    }
    if wanted("cost") {
        rows.extend(cost::measure(root, services, options.rounds).await?);
    }
    if wanted("jobs") {
        rows.extend(jobs::measure(root, services, options.jobs).await?);
    }
    Ok(rows)
}

impl Options {
    fn read(words: &[String]) -> anyhow::Result<Self> {
        let mut options = Self { parts: Vec::new(), jobs: JOBS, rounds: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--jobs" => options.jobs = value()?.parse().context("--jobs needs a number")?,
                "--rounds" => options.rounds = Some(value()?.parse().context("--rounds needs a number")?),
                "--part" => options.parts.push(value()?.clone()),
                name => options.parts.push(name.to_owned()),
            }
        }
        for part in &options.parts {
            anyhow::ensure!(
                PARTS.contains(&part.as_str()),
                "no part is called {part}; there are: {}",
                PARTS.join(", ")
            );
        }
        Ok(options)
    }
}

/// As many files as this process may have, for thousands of connections; programs that it starts have as many.
fn raise_file_limit() -> anyhow::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("raising the limit of open files")
}

/// A time that has a bound.
fn time_row(what: &'static str, time: Duration, bound: &'static str, limit: Duration) -> Row {
    let (yardstick, ratio) = (String::new(), String::new());
    Row { what, ours: milliseconds(time), yardstick, ratio, bound, met: time <= limit }
}

/// Whatever is only shown, or met as the caller says.
fn plain_row(what: &'static str, ours: String, bound: &'static str, met: bool) -> Row {
    Row { what, ours, yardstick: String::new(), ratio: String::new(), bound, met }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> anyhow::Result<Options> {
        Options::read(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn parts_are_named_with_and_without_a_flag_and_nothing_else_is_taken() {
        let options = read("--part jobs --jobs 10000 cost").expect("options");
        assert_eq!((options.parts, options.jobs), (vec!["jobs".to_owned(), "cost".to_owned()], 10_000));
        assert_eq!(read("").expect("options").jobs, JOBS);
        for words in ["--part", "--part jos", "jos", "--jobs many", "--jobs"] {
            assert!(read(words).is_err(), "{words}");
        }
    }
}
