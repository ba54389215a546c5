//! What Steep counts and measures of itself, for Prometheus.
//!
//! [`table`] names every metric once: its type, labels and help, and which program has it. From it come the statics that code
//! records with, what `/metrics` describes, the page in deploy/prometheus and the tests. Adding a metric is a line there.
//!
//! Counters and histograms are recorded where things happen: `meters::PUBLISHES.add(&["confirmed"], 1)`. That looks an existing
//! handle up and adds to an atomic; nothing is allocated or formatted. Without [`record`], which a program calls only if it serves
//! `/metrics`, it is the look at one pointer. Gauges are set when somebody scrapes ([`Scrape`]); what others have to be asked for
//! is asked at most every few seconds ([`Asked`]).
//!
//! No label has a value that is not in the code: whatever is not among a label's values is `other`.

#![warn(missing_docs)]

mod asked;
mod label;
mod meter;
mod page;
mod recorder;
mod scrape;
mod table;

pub use asked::Asked;
pub use label::{KIND, Label, set_routes};
pub use meter::{Counter, Gauge, Histogram, Metric, Programs, Recorded, Type};
pub use page::page;
pub use recorder::{Program, is_on, record, upkeep};
pub use scrape::{CONTENT_TYPE, Scrape};
pub use table::*;
