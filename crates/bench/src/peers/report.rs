//! The tables, in Markdown.

use std::time::Duration;

use xtask::peers::System;

use crate::accept::{Accepted, Upload};
use crate::drain::Drained;
use crate::table::median;
use crate::usage::Usage;

const MIB: f64 = 1024.0 * 1024.0;

/// A system, and how its turns went.
#[derive(Debug)]
pub struct Line<T> {
    pub system: System,
    pub name: &'static str,
    /// What Steep is given to do.
    pub upload: Upload,
    turns: Vec<T>,
    /// Why a turn is missing.
    failure: Option<String>,
}

impl<T> Line<T> {
    pub fn new(system: System, name: &'static str, upload: Upload) -> Self {
        Self { system, name, upload, turns: Vec::new(), failure: None }
    }

    /// A turn that failed is shown, and does not keep others from theirs.
    pub fn note(&mut self, turn: anyhow::Result<T>) {
        match turn {
            Ok(turn) => self.turns.push(turn),
            Err(error) => self.failure = Some(format!("{error:#}")),
        }
    }

    fn median(&self, figure: impl Fn(&T) -> f64) -> f64 {
        median(self.turns.iter().map(figure).collect())
    }

    /// Median and range of the rates.
    fn rates(&self, rate: impl Fn(&T) -> f64) -> String {
        let all: Vec<f64> = self.turns.iter().map(rate).collect();
        let (least, most) =
            (all.iter().copied().fold(f64::INFINITY, f64::min), all.iter().copied().fold(0.0, f64::max));
        if all.len() == 1 { format!("{least:.0}") } else { format!("{:.0} ({least:.0}–{most:.0})", median(all)) }
    }

    /// Median milliseconds of processor time of a part for each job.
    fn cost(&self, usage: impl Fn(&T) -> &Usage, part: &str, jobs: usize) -> String {
        if self.turns.iter().any(|turn| usage(turn).of(part).is_none()) {
            return "–".to_owned();
        }
        let each = |turn: &T| milliseconds(usage(turn).of(part).unwrap_or_default(), jobs);
        format!("{:.2}", self.median(each))
    }

    /// In the place of figures.
    fn print_failure(&self) {
        if let Some(failure) = &self.failure {
            let failed = if self.turns.is_empty() { "" } else { "a turn failed: " };
            println!("\n{}: {failed}{failure}", self.name);
        }
    }
}

pub fn draining(lines: &[Line<Drained>], jobs: usize) {
    println!("Finishing {jobs} preloaded jobs; milliseconds of processor time for each\n");
    println!("system|jobs/s|worker|mongod|RabbitMQ or Redis|media host|sum|MiB|machine idle");
    println!("---|---|---|---|---|---|---|---|---");
    for line in lines.iter().filter(|line| !line.turns.is_empty()) {
        let cost = |part: &str| line.cost(|turn| &turn.usage, part, jobs);
        println!(
            "{}|{}|{}|{}|{}|{}|{:.1}|{:.0}|{:.0} %",
            line.name,
            line.rates(|turn| turn.per_second),
            cost("worker"),
            cost("mongod"),
            cost("broker"),
            cost("media host"),
            line.median(|turn| milliseconds(turn.usage.sum(), jobs)),
            line.median(|turn| turn.memory as f64 / MIB),
            line.median(|turn| turn.usage.idle * 100.0),
        );
    }
    for line in lines {
        if let Some(turn) = line.turns.first() {
            println!("\n{}: MongoDB commands for each job {}", line.name, turn.commands);
        }
        line.print_failure();
    }
}

pub fn accepting(lines: &[Line<Accepted>], jobs: usize) {
    println!("\nAccepting {jobs} jobs, 16 at a time, no worker running; milliseconds of processor time for each\n");
    println!("system|a second|api or producer|mongod|RabbitMQ or Redis|load client|sum");
    println!("---|---|---|---|---|---|---");
    for line in lines.iter().filter(|line| !line.turns.is_empty()) {
        let cost = |part: &str| line.cost(|turn| &turn.usage, part, jobs);
        println!(
            "{}|{}|{}|{}|{}|{}|{:.1}",
            line.name,
            line.rates(|turn| turn.per_second),
            cost(if line.system == System::Steep { "api" } else { "producer" }),
            cost("mongod"),
            cost("broker"),
            cost("load client"),
            line.median(|turn| milliseconds(turn.usage.sum(), jobs)),
        );
    }
    for line in lines {
        if let Some(turn) = line.turns.first().filter(|_| line.system == System::Steep) {
            println!("\n{}: MongoDB commands for each job {}", line.name, turn.commands);
            let unpublished = line.turns.iter().map(|turn| turn.unpublished).max().unwrap_or_default();
            println!("\nSteep publishes behind its answer: at most {unpublished} were not at the broker at the end.");
        }
        line.print_failure();
    }
}

fn milliseconds(time: Duration, jobs: usize) -> f64 {
    time.as_secs_f64() * 1000.0 / jobs as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(worker: u64) -> Usage {
        Usage { took: Duration::from_secs(1), idle: 0.0, parts: vec![("worker", Duration::from_millis(worker))] }
    }

    #[test]
    fn a_line_shows_medians_and_what_is_not_known() {
        let mut line = Line::new(System::Bullmq, "BullMQ", Upload::Avatar);
        for worker in [300, 100, 200] {
            line.note(Ok(usage(worker)));
        }
        line.note(Err(anyhow::anyhow!("it ended")));
        assert_eq!(line.cost(|usage| usage, "worker", 100), "2.00");
        assert_eq!(line.cost(|usage| usage, "broker", 100), "–");
        assert_eq!(line.rates(|usage| usage.sum().as_secs_f64() * 1000.0), "200 (100–300)");
        assert_eq!(line.failure.as_deref(), Some("it ended"));
    }
}
