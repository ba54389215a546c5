//! A metric, and the handles that record it.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Key, Level, Metadata, Recorder};

use crate::Label;
use crate::recorder::{self, Program};

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Type {
    /// It only grows, and begins at zero with the program.
    Counter,
    /// It is as it is when somebody looks.
    Gauge,
    /// How many were up to each of these bounds, how many in all, and their sum.
    Histogram(&'static [f64]),
}

impl Type {
    /// As Prometheus calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Which programs have a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    /// The api alone.
    Api,
    /// The worker alone.
    Worker,
    /// Both.
    Both,
}

impl Programs {
    /// Whether one of them is this.
    pub const fn has(self, program: Program) -> bool {
        matches!((self, program), (Self::Both, _) | (Self::Api, Program::Api) | (Self::Worker, Program::Worker))
    }
}

/// A line of the [table](crate::table).
#[derive(Debug)]
pub struct Metric {
    /// Permanent: dashboards and alerts stand on it.
    pub name: &'static str,
    /// What it is.
    pub kind: Type,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [Label],
    /// Who has it.
    pub programs: Programs,
    /// What it tells, for people.
    pub help: &'static str,
}

pub(crate) const METADATA: Metadata<'static> = Metadata::new("steep", Level::INFO, None);

impl Metric {
    /// The number of combinations of values.
    pub(crate) fn places(&self) -> usize {
        self.labels.iter().map(Label::places).product()
    }

    /// Where a combination of values stands among all of them.
    fn place(&self, values: &[&str]) -> usize {
        let given = |at: usize| values.get(at).copied().unwrap_or_default();
        self.labels.iter().enumerate().fold(0, |place, (at, label)| place * label.places() + label.place(given(at)))
    }

    /// The key of the series of some values.
    pub(crate) fn key(&self, values: &[&str]) -> Key {
        let value = |(at, label): (usize, &Label)| {
            let given = values.get(at).copied().unwrap_or_default();
            metrics::Label::from_static_parts(label.name, label.at(label.place(given)))
        };
        Key::from_parts(self.name, self.labels.iter().enumerate().map(value).collect::<Vec<_>>())
    }
}

/// What a series is recorded with.
pub trait Handle: Sized {
    /// Makes it, or finds it.
    fn register(recorder: &dyn Recorder, key: &Key) -> Self;
}

impl Handle for metrics::Counter {
    fn register(recorder: &dyn Recorder, key: &Key) -> Self {
        recorder.register_counter(key, &METADATA)
    }
}

impl Handle for metrics::Histogram {
    fn register(recorder: &dyn Recorder, key: &Key) -> Self {
        recorder.register_histogram(key, &METADATA)
    }
}

/// The handles of a metric's series, each made when it is first needed.
struct Handles<T>(OnceLock<Box<[OnceLock<T>]>>);

impl<T: Handle> Handles<T> {
    const fn none() -> Self {
        Self(OnceLock::new())
    }

    fn get(&self, metric: &Metric, values: &[&str]) -> Option<&T> {
        debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
        let recorder = recorder::recorder()?;
        let all = self.0.get_or_init(|| (0..metric.places()).map(|_| OnceLock::new()).collect());
        Some(all.get(metric.place(values))?.get_or_init(|| T::register(recorder, &metric.key(values))))
    }
}

/// What is recorded when it happens.
pub struct Recorded<T> {
    /// Its line of the table.
    pub metric: Metric,
    handles: Handles<T>,
}

/// Counts what happens.
pub type Counter = Recorded<metrics::Counter>;
/// Measures what happens.
pub type Histogram = Recorded<metrics::Histogram>;

/// How something is, set by a [`Scrape`](crate::Scrape).
pub struct Gauge {
    /// Its line of the table.
    pub metric: Metric,
}

/// A metric of the table, whatever its type.
pub(crate) trait Row: Sync {
    fn metric(&self) -> &Metric;

    /// Makes the series of some values, so that they begin at zero.
    fn begin(&self, values: &[&str]);
}

impl<T: Handle> Recorded<T> {
    pub(crate) const fn new(metric: Metric) -> Self {
        Self { metric, handles: Handles::none() }
    }
}

impl Counter {
    /// Adds to the series of these values, one for each label, in order.
    pub fn add(&self, values: &[&str], by: u64) {
        if let Some(handle) = self.handles.get(&self.metric, values) {
            handle.increment(by);
        }
    }
}

impl Histogram {
    /// Records a value in the series of these values, one for each label, in order.
    pub fn record(&self, values: &[&str], value: f64) {
        if let Some(handle) = self.handles.get(&self.metric, values) {
            handle.record(value);
        }
    }

    /// As [`Histogram::record`], in seconds.
    pub fn took(&self, values: &[&str], time: Duration) {
        self.record(values, time.as_secs_f64());
    }
}

impl Gauge {
    pub(crate) const fn new(metric: Metric) -> Self {
        Self { metric }
    }
}

impl<T: Handle + Send + Sync> Row for Recorded<T> {
    fn metric(&self) -> &Metric {
        &self.metric
    }

    fn begin(&self, values: &[&str]) {
        self.handles.get(&self.metric, values);
    }
}

impl Row for Gauge {
    fn metric(&self) -> &Metric {
        &self.metric
    }

    fn begin(&self, _: &[&str]) {}
}
