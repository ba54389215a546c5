use std::fs;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

/// Names one process over time: a pid alone may have been given to another since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process, which also leads a process group of that number.
    pub pid: i32,
    /// When it started, in the kernel's ticks since boot; `None` where /proc does not tell.
    pub started: Option<u64>,
}

impl Identity {
    /// The process of that number, which runs now.
    pub(crate) fn of(pid: i32) -> Identity {
        Identity { pid, started: Stat::of(pid).map(|stat| stat.started) }
    }

    /// Whether that very process still runs.
    pub fn alive(&self) -> bool {
        match (self.started, Stat::of(self.pid)) {
            (Some(started), Some(now)) => now.runs() && started == now.started,
            (Some(_), None) => false,
            (None, _) => Pid::from_raw(self.pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok()),
        }
    }

    /// Whether a process of its group still runs. A start script may be gone before the program that it started, whose memory
    /// takes the kernel a moment to free, and until then its ports are taken.
    pub(crate) fn group_lives(&self) -> bool {
        let Some(group) = Pid::from_raw(self.pid) else { return false };
        if rustix::process::test_kill_process_group(group).is_err() {
            return false;
        }
        // Zombies count above, and some containers have nobody who reaps them.
        let Ok(entries) = fs::read_dir("/proc") else { return true };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(Stat::of)
            .any(|stat| stat.group == self.pid && stat.runs())
    }
}

/// What /proc says about a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    group: i32,
    threads: u32,
    started: u64,
}

impl Stat {
    /// `None` where there is no such process, or no /proc.
    fn of(pid: i32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// proc_pid_stat(5): `pid (name) state parent group …`, start time in field 22. The name may contain anything, so fields
    /// count from the last `)`. Field 20 is the number of threads.
    fn parse(text: &str) -> Option<Stat> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let threads = fields.nth(14)?.parse().ok()?;
        let started = fields.nth(1)?.parse().ok()?;
        Some(Stat { state, group, threads, started })
    }

    /// A zombie has ended, and only its parent has not looked yet; but one that has threads left is still ending.
    fn runs(&self) -> bool {
        !matches!(self.state, 'Z' | 'X') || self.threads > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_found_behind_any_program_name() {
        let line = "42 (a) b ( c) S 1 41 40 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 7 0 98765 1 2 3";
        assert_eq!(Stat::parse(line), Some(Stat { state: 'S', group: 41, threads: 7, started: 98765 }));
        assert_eq!(Stat::parse("nonsense"), None);
    }

    #[test]
    fn a_number_that_was_given_to_another_process_since_is_not_alive() {
        let ours = std::process::id().cast_signed();
        assert!(Identity::of(ours).alive());
        assert!(!Identity { pid: ours, started: Some(1) }.alive());
    }
}
