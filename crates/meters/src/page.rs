//! The page about the metrics, for people.

use std::fmt::Write as _;

use crate::meter::Programs;
use crate::table::TABLE;
use crate::{Label, Metric};

/// More values of a label than these are not listed.
const LISTED: usize = 8;

/// The rows of the table of all metrics in deploy/prometheus/README.md.
pub fn page() -> String {
    let mut rows = "metric | type | labels | of | what it tells\n---|---|---|---|---\n".to_owned();
    for metric in TABLE {
        let Metric { name, kind, labels, programs, help } = metric;
        let labels: Vec<String> = labels.iter().map(label).collect();
        let programs = match programs {
            Programs::Api => "api",
            Programs::Worker => "worker",
            Programs::Both => "both",
        };
        let _ = writeln!(rows, "`{name}` | {} | {} | {programs} | {help}", kind.as_str(), labels.join("; "));
    }
    rows
}

fn label(label: &Label) -> String {
    let values = (label.values)();
    if values.is_empty() || values.len() > LISTED {
        return format!("`{}`", label.name);
    }
    format!("`{}`: {}", label.name, values.join(", "))
}
