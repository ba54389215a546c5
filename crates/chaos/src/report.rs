//! What is printed at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::conductor::Struck;
use crate::fault::{Fault, Target};
use crate::ledger::{Entry, Millis, Op};
use crate::state::{Job, State};
use crate::uploads::is_upload;

/// Violations that are printed of each check; the ledger has them all.
const SHOWN: usize = 20;

pub struct Report<'a> {
    pub seed: u64,
    pub length: Duration,
    pub quiet_after: Duration,
    pub entries: &'a [Entry],
    pub struck: &'a [Struck],
    pub state: &'a State,
    /// What was still going on shortly before everything was quiet.
    pub last: &'a [String],
    /// What of the schedule did nothing, and why.
    pub left_out: Option<&'a str>,
    pub found: &'a [(&'static str, Vec<String>)],
}

impl Report<'_> {
    pub fn print(&self) {
        println!(
            "chaos: seed {}, {} s of faults, quiet {:.1} s later",
            self.seed,
            self.length.as_secs(),
            self.quiet_after.as_secs_f64()
        );
        self.print_operations();
        self.print_faults();
        self.print_jobs();
        self.print_operator_errors();
        self.print_rescues();
        println!("last to come to rest: {}", self.last.first().map_or("nothing", String::as_str));
        if let Some(left_out) = self.left_out {
            println!("left out, although it is listed above: {left_out}");
        }
        println!("violations");
        for (check, found) in self.found {
            println!("  {check:<14} {}", found.len());
            for one in found.iter().take(SHOWN) {
                println!("    {one}");
            }
        }
    }

    fn print_operations(&self) {
        println!("operations     {}", self.entries.len());
        let mut by_op: BTreeMap<Op, (usize, usize, usize, Vec<Millis>)> = BTreeMap::new();
        for entry in self.entries {
            let (accepted, refused, lost, times) = by_op.entry(entry.op).or_default();
            match entry.status {
                Some(_) if entry.accepted() => *accepted += 1,
                Some(_) => *refused += 1,
                None => *lost += 1,
            }
            if entry.status.is_some() {
                times.push(entry.took);
            }
        }
        for (op, (accepted, refused, lost, times)) in by_op {
            let slowest = times.iter().max().copied().unwrap_or_default();
            println!(
                "  {op:<12} {accepted:>6} accepted {refused:>5} refused {lost:>5} unanswered, slowest answer {slowest} ms",
                op = format!("{op:?}")
            );
        }
        let hung_up = self.entries.iter().filter(|entry| entry.hung_up).count();
        println!("  of the unanswered ones {hung_up} were cut off by their clients, which asked again");
        let replayed = self.entries.iter().filter(|entry| entry.replayed).count();
        let ended = self.state.jobs.values().filter(|job| job.state != "discarded");
        let again: usize = ended.map(|job| job.attempts.len().saturating_sub(1)).sum();
        println!(
            "duplicates absorbed {}: {replayed} requests with a key that had its answer, {again} further attempts at a job",
            replayed + again
        );
    }

    fn print_faults(&self) {
        println!("faults         {}", self.struck.len());
        let mut by_kind: BTreeMap<String, usize> = BTreeMap::new();
        for struck in self.struck {
            let whom = struck.took_away().map(|target| match target {
                Target::Api(_) => "api".to_owned(),
                Target::Worker(_) => "worker".to_owned(),
                other => other.to_string(),
            });
            let kind = struck.fault.kind();
            *by_kind.entry(whom.map_or_else(|| kind.to_owned(), |whom| format!("{kind} {whom}"))).or_default() += 1;
        }
        for (kind, count) in by_kind {
            println!("  {kind:<28} {count}");
        }
    }

    fn print_jobs(&self) {
        let mut by_state: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for job in self.state.jobs.values() {
            *by_state.entry((&job.kind, &job.state)).or_default() += 1;
        }
        println!("jobs           {}", self.state.jobs.len());
        for ((kind, state), count) in by_state {
            println!("  {kind:<22} {state:<10} {count}");
        }
        for job in self.state.jobs.values().filter(|job| job.state == "discarded") {
            println!("  {} {} was discarded: {}", job.kind, job.id, job.reason);
        }
        let accepted = self.entries.iter().filter(|entry| entry.accepted() && is_upload(entry.op));
        let uploads: BTreeSet<&str> = accepted.filter_map(|entry| entry.job.as_deref()).collect();
        println!("uploads that were answered 2xx: {}", uploads.len());
        let lost = uploads.iter().filter(|job| !self.state.jobs.contains_key(**job)).count();
        println!("of these lost: {lost}");
        let again = self.state.jobs.values().filter(|job| job.state == "completed" && job.attempts.len() > 1);
        println!("jobs that ran more than once and took effect once: {}", again.count());
    }

    /// What the media host's word against our credentials did to jobs: it made them wait, and nothing else.
    fn print_operator_errors(&self) {
        let met = |job: &&Job| job.attempts.iter().any(|attempt| attempt.outcome == "operator");
        let waited: Vec<_> = self.state.jobs.values().filter(met).collect();
        let discarded = waited.iter().filter(|job| job.state == "discarded").count();
        println!("jobs that waited for an operator: {}, of these discarded: {discarded}", waited.len());
    }

    /// From the kill of a worker to the next attempt at what it was doing.
    fn print_rescues(&self) {
        let (mut plain, mut young, mut troubled) = (Vec::new(), Vec::new(), Vec::new());
        for job in self.state.jobs.values() {
            for (attempt, next) in job.crashes() {
                let Some(next) = next else { continue };
                let Some(kill) = self.struck.iter().find(|struck| {
                    matches!(struck.fault, Fault::Kill(Target::Worker(_), _))
                        && struck.pid.is_some_and(|pid| attempt.ran_in(pid))
                }) else {
                    continue;
                };
                let struck_in = |from, until| {
                    self.struck.iter().any(|other| other.from != kill.from && hinders(other, from, until))
                };
                let times = if struck_in(kill.from, next) {
                    &mut troubled
                } else if struck_in(kill.from.saturating_sub(SETTLES), kill.from) {
                    &mut young
                } else {
                    &mut plain
                };
                times.push(next - kill.from);
            }
        }
        println!("rescue after the kill of a worker");
        print_times("nothing else in the way", plain);
        print_times("something shortly before", young);
        print_times("something else as well", troubled);
    }
}

/// For so long, in milliseconds, after it was cut off or restarted a worker is slower to take over from another one.
const SETTLES: Millis = 23_000;

/// Whether something else was in the way of a rescue: what concerns apis or the media host is not.
fn hinders(struck: &Struck, from: Millis, until: Millis) -> bool {
    let of_an_api = |target: Target| matches!(target, Target::Api(_));
    let elsewhere = match &struck.fault {
        Fault::Kill(target, _) | Fault::Terminate(target) | Fault::Stop(target, _) => {
            of_an_api(*target) || *target == Target::Media
        }
        Fault::Cut(link) | Fault::Hold(link, _) | Fault::Delay(link, ..) => {
            of_an_api(link.from) || link.to == Target::Media
        }
        Fault::Media(..) => true,
        Fault::Alarm(_) | Fault::StepDown(_) | Fault::Clock(..) => false,
    };
    !elsewhere && struck.from <= until && from <= struck.until
}

fn print_times(what: &str, mut times: Vec<Millis>) {
    times.sort_unstable();
    let at =
        |share: usize| times.get((times.len().saturating_sub(1) * share).div_ceil(100)).copied().unwrap_or_default();
    match times.last() {
        None => println!("  {what:<26} none"),
        Some(max) => println!("  {what:<26} {} jobs, p50 {} ms, p99 {} ms, max {max} ms", times.len(), at(50), at(99)),
    }
}
