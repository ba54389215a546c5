//! One answer of `/metrics`.

use metrics::Recorder;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::Gauge;
use crate::meter::METADATA;
use crate::recorder::recorder;

/// The content type of [`Scrape::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How everything is at the moment. A gauge that is not set is absent from the answer, as what is not known should be.
pub struct Scrape(PrometheusRecorder);

impl Default for Scrape {
    fn default() -> Self {
        Self(PrometheusBuilder::new().build_recorder())
    }
}

impl Scrape {
    /// Sets the series of these values, one for each label, in order.
    pub fn set(&self, gauge: &Gauge, values: &[&str], value: f64) {
        let metric = &gauge.metric;
        debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
        self.0.describe_gauge(metric.name.into(), None, metric.help.into());
        self.0.register_gauge(&metric.key(values), &METADATA).set(value);
    }

    /// As [`Scrape::set`], of a number.
    pub fn count(&self, gauge: &Gauge, values: &[&str], count: u64) {
        self.set(gauge, values, count as f64);
    }

    /// As [`Scrape::set`]: 1 or 0.
    pub fn flag(&self, gauge: &Gauge, values: &[&str], is_so: bool) {
        self.set(gauge, values, f64::from(u8::from(is_so)));
    }

    /// These gauges, and all that was counted and measured: Prometheus' text format.
    pub fn text(&self) -> String {
        let recorded = recorder().map(|recorder| recorder.handle().render()).unwrap_or_default();
        recorded + &self.0.handle().render()
    }
}
