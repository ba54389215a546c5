//! Other job systems that `cargo xtask bench peers` compares Steep with, and where they are installed.

pub(crate) mod install;

use std::env;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::services::locate;

/// Names the variable in which the benchmark is told what this machine cannot run: a line `<name>: <reason>` for each.
pub const SKIPPED: &str = "STEEP_BENCH_SKIPPED";

/// One that does the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum System {
    Steep,
    Apalis,
    Bullmq,
    AioPika,
    Celery,
}

/// `cargo xtask bench peers`: how fast other job systems do the same job on the same machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench peers")]
pub struct Options {
    /// How often each system has its turn; medians are shown
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Jobs that are finished in a turn; twice as many are accepted
    #[arg(long, default_value_t = 3000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub jobs: u32,
    /// Only this system; can be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<System>,
}

impl Options {
    /// From the words behind `peers`.
    pub fn read(words: &[String]) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once("peers").chain(words.iter().map(String::as_str)))
    }

    /// What is to be compared, in the order of their turns.
    pub fn systems(&self) -> Vec<System> {
        let all = System::value_variants().iter().copied();
        all.filter(|system| self.only.is_empty() || self.only.contains(system)).collect()
    }
}

impl System {
    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            System::Steep => "steep",
            System::Apalis => "apalis",
            System::Bullmq => "bullmq",
            System::AioPika => "aio-pika",
            System::Celery => "celery",
        }
    }

    /// Why this machine cannot run it, as `cargo xtask` has found.
    pub fn skipped(self) -> Option<String> {
        self.reason_in(&env::var(SKIPPED).unwrap_or_default())
    }

    fn reason_in(self, skipped: &str) -> Option<String> {
        let reason = skipped.lines().find_map(|line| line.strip_prefix(self.name())?.strip_prefix(": "));
        reason.map(str::to_owned)
    }
}

/// Our part of them: how each does the job.
pub fn sources() -> PathBuf {
    locate::workspace().join("crates/bench/peers")
}

/// Where they are installed.
fn folder() -> PathBuf {
    locate::steep_folder().join("peers")
}

/// The program made of apalis.
pub fn apalis() -> PathBuf {
    folder().join("apalis/release/peer-apalis")
}

/// Packages of Python, for `PYTHONPATH`.
pub fn python() -> PathBuf {
    folder().join("python")
}

/// The script that runs BullMQ, beside the packages that it needs.
pub fn bullmq() -> PathBuf {
    folder().join("node/peer.mjs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, clap::Error> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::read(&words)
    }

    #[test]
    fn all_systems_take_turns_unless_some_are_named() {
        let all = read("").unwrap();
        assert_eq!((all.rounds, all.jobs), (3, 3000));
        assert_eq!(all.systems(), System::value_variants());
        let some = read("--rounds 1 --jobs 300 --only celery --only steep").unwrap();
        assert_eq!((some.rounds, some.jobs), (1, 300));
        assert_eq!(some.systems(), [System::Steep, System::Celery]);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        assert!(read("--only sidekiq").is_err());
        assert!(read("--rounds 0").is_err());
        assert!(read("--jobs 1").is_err());
    }

    #[test]
    fn what_a_machine_lacks_is_a_reason_to_skip_who_needs_it() {
        let skipped = "apalis: no Redis\nbullmq: no Redis: no root";
        assert_eq!(System::Bullmq.reason_in(skipped).as_deref(), Some("no Redis: no root"));
        assert_eq!(System::Celery.reason_in(skipped), None);
        assert_eq!(System::Celery.reason_in(""), None);
    }

    #[test]
    fn a_system_is_called_the_same_everywhere() {
        for system in System::value_variants() {
            assert_eq!(system.to_possible_value().unwrap().get_name(), system.name());
        }
    }
}
