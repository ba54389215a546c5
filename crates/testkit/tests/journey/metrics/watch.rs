//! Looking at what a program tells of itself, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use meters::{Metric, Type};
use testkit::PATIENCE;
use xtask::services::locate;

/// A program's `/metrics`, and which values each of its series ever had.
pub struct Watch {
    pub url: String,
    /// What it said last.
    pub text: String,
    seen: BTreeMap<String, BTreeSet<String>>,
    /// The series of the first look.
    first: BTreeSet<String>,
}

impl Watch {
    pub fn new(address: SocketAddr) -> Self {
        let url = format!("http://{address}/metrics");
        Self { url, text: String::new(), seen: BTreeMap::new(), first: BTreeSet::new() }
    }

    /// Looks once. Says how long the answer took; `None`: nobody answers.
    pub async fn look(&mut self) -> Option<Duration> {
        let began = Instant::now();
        let reply = reqwest::get(&self.url).await.ok()?;
        assert_eq!(reply.status().as_u16(), 200, "{}", self.url);
        self.text = reply.text().await.ok()?;
        let is_first = self.seen.is_empty();
        for line in self.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            self.seen.entry(series.to_owned()).or_default().insert(value.to_owned());
        }
        if is_first {
            self.first = self.seen.keys().cloned().collect();
        }
        Some(began.elapsed())
    }

    /// Looks until all of these have moved.
    pub async fn until_moved(&mut self, metrics: &[&Metric]) {
        let names: Vec<&str> = metrics.iter().map(|metric| metric.name).collect();
        self.until(&format!("{names:?} move"), |watch| names.iter().all(|name| watch.has_moved(name))).await;
    }

    /// Looks until a line is there.
    pub async fn until_line(&mut self, line: &str) {
        self.until(line, |watch| watch.has(line)).await;
    }

    pub async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.look().await.is_some() && condition(self) {
                return;
            }
            assert!(Instant::now() < deadline, "not in time: {what}\n{}", self.text);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Whether a line was there at the last look.
    pub fn has(&self, line: &str) -> bool {
        self.text.lines().any(|found| found == line)
    }

    /// Whether a series of a metric has had two values, or came later than the first look.
    pub fn has_moved(&self, metric: &str) -> bool {
        let of_metric = self.seen.iter().filter(|(series, _)| name_of(series) == metric);
        of_metric.into_iter().any(|(series, values)| values.len() > 1 || !self.first.contains(series))
    }

    /// The names of all metrics that were ever there.
    pub fn names(&self) -> BTreeSet<&str> {
        self.seen.keys().map(|series| name_of(series)).collect()
    }
}

/// What checks texts, rules and alerts of Prometheus, if it is on this machine.
pub fn promtool() -> Option<PathBuf> {
    locate::on_path("promtool")
}

/// The metric that a series is of.
fn name_of(series: &str) -> &str {
    let name = series.split('{').next().unwrap_or_default();
    let histograms = meters::TABLE.iter().filter(|metric| matches!(metric.kind, Type::Histogram(_)));
    let of_histogram = histograms
        .map(|metric| metric.name)
        .find(|known| name.strip_prefix(known).is_some_and(|rest| matches!(rest, "_bucket" | "_sum" | "_count")));
    of_histogram.unwrap_or(name)
}
