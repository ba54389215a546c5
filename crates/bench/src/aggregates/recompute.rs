//! Counting a channel with a million subscribers: when it is quiet, and while it is toggled as fast as it goes.

use std::time::Duration;

use mongodb::bson::DateTime;
use testkit::process;

use super::stage::Stage;
use crate::load;
use crate::table::{Row, milliseconds};

const QUIET: usize = 5;
const CLIENTS: usize = 64;
/// Long enough that it does not matter whether one recount more or less falls into it.
const STORM: Duration = Duration::from_secs(80);
const MIB: f64 = 1024.0 * 1024.0;

pub async fn measure(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let hot = stage.hot().clone();
    let path = format!("/api/v1/subscriptions/c/{}", hot.id);
    let request = stage.request("POST", move |_| path.clone());
    stage.settle().await?;
    let idle = process::resident_memory(&stage.system.worker)?;
    process::forget_peak_memory(&stage.system.worker)?;
    let begun = DateTime::now();
    for _ in 0..QUIET {
        load::run(stage.system.api_address, 1, Duration::from_millis(20), request.clone()).await;
        stage.settle().await?;
    }
    let quiet = stage.recomputes(&hot, begun).await?;
    anyhow::ensure!(!quiet.is_empty(), "nothing was counted");
    let slowest = quiet.iter().max().copied().unwrap_or_default();

    let begun = DateTime::now();
    let load = load::run(stage.system.api_address, CLIENTS, STORM, request).await;
    anyhow::ensure!(load.failed == 0, "{} toggles failed", load.failed);
    let storm = stage.recomputes(&hot, begun).await?;
    let share = storm.iter().sum::<Duration>().as_secs_f64() / load.took.as_secs_f64();
    let grown = process::peak_memory(&stage.system.worker)?.saturating_sub(idle) as f64 / MIB;
    stage.settle().await?;
    Ok(vec![
        Row {
            what: "recount of a channel with 1,000,000 subscribers, slowest",
            ours: milliseconds(slowest),
            yardstick: String::new(),
            ratio: String::new(),
            bound: "< 1 s",
            met: slowest < Duration::from_secs(1),
        },
        Row {
            what: "the same, toggled by 64 clients: recounting, of one core",
            ours: format!("{:.1} % ({} in {:.0} s)", share * 100.0, storm.len(), load.took.as_secs_f64()),
            yardstick: format!("{:.0} toggles/s", load.per_second()),
            ratio: String::new(),
            bound: "<= 10 %",
            met: share <= 0.1 && !storm.is_empty(),
        },
        Row {
            what: "worker: peak resident memory meanwhile, above idle",
            ours: format!("{grown:.1} MiB"),
            yardstick: String::new(),
            ratio: String::new(),
            bound: "<= 8 MiB",
            met: grown <= 8.0,
        },
    ])
}
