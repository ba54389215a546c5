//! What api and worker need while nobody wants anything from them.

use std::path::Path;
use std::time::Duration;

use testkit::{Services, process};

use crate::system::System;
use crate::table::Row;
use crate::usage::Parts;

/// Before that they still start.
const SETTLED: Duration = Duration::from_secs(5);
/// Long, because processor time is counted in hundredths of a second.
const MEASURED: Duration = Duration::from_secs(60);
const MIB: u64 = 1024 * 1024;

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Vec<Row>> {
    let system = System::start(root, services, 64).await?;
    tokio::time::sleep(SETTLED).await;
    let resident = [process::resident_memory(&system.api)?, process::resident_memory(&system.worker)?];
    let mut parts = Parts::default();
    parts.add("api", system.api.identity().pid);
    parts.add("worker", system.worker.identity().pid);
    let before = parts.read()?;
    tokio::time::sleep(MEASURED).await;
    let usage = before.until(&parts.read()?);
    system.remove().await?;

    let of_a_core = |time: Duration| time.as_secs_f64() / usage.took.as_secs_f64() * 100.0;
    let each: Vec<String> =
        usage.parts.iter().map(|(part, time)| format!("{part} {:.2} %", of_a_core(*time))).collect();
    let together = of_a_core(usage.sum());
    let [api, worker] = resident;
    Ok(vec![
        memory("api: resident memory when idle", api),
        memory("worker: resident memory when idle", worker),
        Row {
            what: "api and worker: processor time when idle, of one core",
            ours: format!("{together:.2} %"),
            yardstick: each.join(", "),
            ratio: String::new(),
            bound: "< 0.5 %",
            met: together < 0.5,
        },
    ])
}

fn memory(what: &'static str, resident: u64) -> Row {
    Row {
        what,
        ours: format!("{:.1} MiB", resident as f64 / MIB as f64),
        yardstick: String::new(),
        ratio: String::new(),
        bound: "< 30 MiB",
        met: resident < 30 * MIB,
    }
}
