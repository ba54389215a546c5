//! What is recorded, once a program has said that somebody may ask for it.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::Recorder;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

use crate::meter::{Metric, Type};
use crate::table::{ROWS, TABLE};

/// How often what histograms were given is summed up. Until then every value is kept.
const SUM_UP_EVERY: Duration = Duration::from_secs(5);

/// A program that has metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The api.
    Api,
    /// The worker.
    Worker,
}

// Not the one that `metrics` has for all libraries of a process: what others record stays out.
static RECORDER: OnceLock<PrometheusRecorder> = OnceLock::new();

/// Begins to record. What a program has with one label at most begins at zero; other series come with their first event.
/// [`upkeep`] must run from then on. A second call, of another program in the same process, adds what that one has.
pub fn record(program: Program) {
    RECORDER.get_or_init(recorder_with_buckets);
    for row in ROWS.iter().filter(|row| row.metric().programs.has(program)) {
        describe(row.metric());
        match row.metric().labels {
            [] => row.begin(&[]),
            [label] => (label.values)().iter().for_each(|value| row.begin(&[value])),
            _ => {}
        }
    }
}

/// Whether anything is recorded.
pub fn is_on() -> bool {
    RECORDER.get().is_some()
}

pub(crate) fn recorder() -> Option<&'static PrometheusRecorder> {
    RECORDER.get()
}

/// Keeps what is recorded small, for ever.
pub async fn upkeep() {
    loop {
        tokio::time::sleep(SUM_UP_EVERY).await;
        if let Some(recorder) = recorder() {
            recorder.handle().run_upkeep();
        }
    }
}

#[expect(clippy::expect_used, reason = "it fails without any bounds, and every histogram of the table has some")]
fn recorder_with_buckets() -> PrometheusRecorder {
    let mut builder = PrometheusBuilder::new();
    for metric in TABLE {
        if let Type::Histogram(bounds) = metric.kind {
            let name = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(name, bounds).expect("bounds");
        }
    }
    builder.build_recorder()
}

fn describe(metric: &Metric) {
    let Some(recorder) = recorder() else { return };
    let (name, help) = (metric.name.into(), metric.help.into());
    match metric.kind {
        Type::Counter => recorder.describe_counter(name, None, help),
        Type::Histogram(_) => recorder.describe_histogram(name, None, help),
        // A scrape that sets it describes it.
        Type::Gauge => {}
    }
}
