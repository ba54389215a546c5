//! The table that benchmarks print.

use std::process::ExitCode;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Row {
    pub what: &'static str,
    pub ours: String,
    /// The one beside it.
    pub yardstick: String,
    /// One by the other.
    pub ratio: String,
    /// What the ratio, or the figure, should be; empty if it is only shown.
    pub bound: &'static str,
    pub met: bool,
}

/// Prints the table, and how many bounds were missed.
pub fn print(rows: &[Row]) -> ExitCode {
    println!("{:<58} {:>22} {:>22} {:>8}  bound", "", "steep", "yardstick", "ratio");
    for row in rows {
        let verdict = match row {
            Row { bound: "", .. } => "",
            Row { met: true, .. } => "met",
            Row { met: false, .. } => "MISSED",
        };
        println!("{:<58} {:>22} {:>22} {:>8}  {} {verdict}", row.what, row.ours, row.yardstick, row.ratio, row.bound);
    }
    let missed = rows.iter().filter(|row| !row.met).count();
    if missed > 0 {
        println!("\n{missed} of {} bounds missed", rows.len());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The middle one; of an even number the lower.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// Milliseconds with two digits behind the point.
pub fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
