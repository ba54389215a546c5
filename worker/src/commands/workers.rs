//! `worker workers`: who works, and who is to take nothing more.

use anyhow::bail;
use serde_json::{Value, json};
use store::{Controlled, Store, Worker, WorkerPosition, WorkerState};

use super::{print, steer};

/// Workers that are read at once.
const PAGE: u32 = 100;

/// The workers.
#[derive(Debug, clap::Subcommand)]
pub enum Workers {
    /// Those that started last first: name, state, host, version, since, last sign of life, jobs that run, slots
    List {
        /// Also those that have ended in good order
        #[arg(long)]
        left: bool,
        /// As JSON, with all that they tell
        #[arg(long)]
        json: bool,
    },
    /// Have one finish what runs and take nothing more; it stays alive
    Drain {
        /// As `workers list` prints it
        #[arg(value_name = "NAME")]
        name: String,
        /// Why, for others who look
        #[arg(long, value_name = "TEXT", default_value = "")]
        why: String,
    },
    /// Have one that drains take jobs again
    Undrain {
        /// As `workers list` prints it
        #[arg(value_name = "NAME")]
        name: String,
    },
}

impl Workers {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        match self {
            Self::List { left, json } => list(store, left, json).await,
            Self::Drain { name, why } => {
                let worker = known(store, &name).await?;
                if worker.state() == WorkerState::Left {
                    bail!("{name} has ended");
                }
                let changed =
                    steer::set(store, "worker.drain", Controlled::Worker(name.clone()), &name, why.trim()).await?;
                print::line(&format!("{name} {}", if changed { "drains" } else { "was told to drain already" }))
            }
            Self::Undrain { name } => {
                known(store, &name).await?;
                let changed = steer::lift(store, "worker.undrain", Controlled::Worker(name.clone()), &name).await?;
                print::line(&format!("{name} {}", if changed { "takes jobs again" } else { "was not told to drain" }))
            }
        }
    }
}

async fn known(store: &Store, name: &str) -> anyhow::Result<Worker> {
    match store.workers().find(name).await? {
        Some(worker) => Ok(worker),
        None => bail!("there is no worker {name}; `workers list` prints those that there are"),
    }
}

async fn list(store: &Store, left: bool, json: bool) -> anyhow::Result<()> {
    let (mut workers, mut after): (Vec<Worker>, Option<WorkerPosition>) = (Vec::new(), None);
    loop {
        let page = store.workers().list(left, after.as_ref(), PAGE).await?;
        workers.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if json {
        return print::json(&workers.iter().map(shown).collect::<Vec<Value>>());
    }
    let rows: Vec<[String; 8]> = workers.iter().map(row).collect();
    print::table(["NAME", "STATE", "HOST", "VERSION", "SINCE", "SIGN", "RUNS", "SLOTS"], &rows)
}

fn row(worker: &Worker) -> [String; 8] {
    [
        worker.name.clone(),
        worker.state().as_str().to_owned(),
        worker.host.clone(),
        worker.version.clone(),
        print::time(worker.since),
        print::time(worker.last_sign),
        worker.running_count.to_string(),
        worker.slots.iter().map(|of| u64::from(of.slots)).sum::<u64>().to_string(),
    ]
}

/// As the API shows it.
fn shown(worker: &Worker) -> Value {
    let running =
        worker.running.iter().map(|run| json!({"job": run.job, "kind": run.kind, "since": print::time(run.since)}));
    json!({
        "name": worker.name,
        "state": worker.state().as_str(),
        "version": worker.version,
        "host": worker.host,
        "spool": worker.spool,
        "since": print::time(worker.since),
        "lastSign": print::time(worker.last_sign),
        "leftAt": worker.left_at.map(print::time),
        "slots": worker.slots,
        "running": running.collect::<Vec<_>>(),
        "runningCount": worker.running_count,
        "clockOffsetMs": worker.clock_offset_ms,
        "spoolFill": worker.spool_fill,
    })
}
