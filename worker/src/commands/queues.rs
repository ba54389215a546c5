//! `worker queues`: what waits, and what is not to be taken.

use messages::{Job, Queue};
use serde_json::{Value, json};
use store::{Control, Controlled, JobState, Snapshot, Store};

use super::{print, steer};

/// The queues.
#[derive(Debug, clap::Subcommand)]
pub enum Queues {
    /// All of them: name, whether it is paused, jobs that wait for a worker, run, and wait for their next attempt
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Have workers finish what runs and take nothing more from a queue, in all spools
    Pause {
        /// Such as media.upload
        #[arg(value_name = "QUEUE", value_parser = known)]
        queue: &'static str,
        /// Why, for others who look
        #[arg(long, value_name = "TEXT", default_value = "")]
        why: String,
    },
    /// Have workers take jobs from a paused queue again
    Resume {
        /// Such as media.upload
        #[arg(value_name = "QUEUE", value_parser = known)]
        queue: &'static str,
    },
}

fn known(name: &str) -> Result<&'static str, String> {
    let known = Job::QUEUES.iter().map(|(_, queue)| queue.name).find(|known| *known == name);
    known.ok_or_else(|| {
        let names: Vec<&str> = Job::QUEUES.iter().map(|(_, queue)| queue.name).collect();
        format!("expected one of {}", names.join(", "))
    })
}

impl Queues {
    pub(super) async fn run(self, store: &Store) -> anyhow::Result<()> {
        match self {
            Self::List { json } => list(store, json).await,
            Self::Pause { queue, why } => {
                let what = Controlled::Queue(queue.to_owned());
                let changed = steer::set(store, "queue.pause", what, queue, why.trim()).await?;
                print::line(&format!("{queue} {}", if changed { "is paused" } else { "was paused already" }))
            }
            Self::Resume { queue } => {
                let what = Controlled::Queue(queue.to_owned());
                let changed = steer::lift(store, "queue.resume", what, queue).await?;
                print::line(&format!("{queue} {}", if changed { "goes on" } else { "was not paused" }))
            }
        }
    }
}

async fn list(store: &Store, json: bool) -> anyhow::Result<()> {
    let (snapshot, controls) = (store.rollups().snapshot().await?, store.controls().all().await?);
    let paused = |queue: &Queue| {
        controls.iter().find(|control| matches!(&control.what, Controlled::Queue(name) if name == queue.name))
    };
    if json {
        let queues: Vec<Value> =
            Job::QUEUES.iter().map(|(kind, queue)| shown(kind, queue, paused(queue), snapshot.as_ref())).collect();
        let counted_at = snapshot.as_ref().map(|snapshot| print::time(snapshot.at));
        return print::json(&json!({"countedAt": counted_at, "queues": queues}));
    }
    let row = |(kind, queue): &(&str, Queue)| {
        let count = |states: &[JobState]| match waits(snapshot.as_ref(), kind, states) {
            Some((count, true)) => format!(">{count}"),
            Some((count, false)) => count.to_string(),
            None => "-".to_owned(),
        };
        let paused = if paused(queue).is_some() { "yes" } else { "no" };
        [
            queue.name.to_owned(),
            paused.to_owned(),
            count(&[JobState::Pending, JobState::Queued]),
            count(&[JobState::Running]),
            count(&[JobState::Retryable]),
        ]
    };
    let rows: Vec<[String; 5]> = Job::QUEUES.iter().map(row).collect();
    print::table(["QUEUE", "PAUSED", "WAITING", "RUNNING", "RETRYABLE"], &rows)
}

/// How many jobs of a kind are in some states, as a worker counted last, and whether there are more.
fn waits(snapshot: Option<&Snapshot>, kind: &str, states: &[JobState]) -> Option<(u64, bool)> {
    let queues = snapshot?.queues.iter();
    let of_kind = queues.filter(|queue| states.contains(&queue.state) && Job::kind_in(&queue.queue) == Some(kind));
    Some(of_kind.fold((0, false), |(count, more), queue| (count + queue.count, more || queue.at_least)))
}

/// As the API shows it.
fn shown(kind: &str, queue: &Queue, paused: Option<&Control>, snapshot: Option<&Snapshot>) -> Value {
    let amount = |states: &[JobState]| {
        waits(snapshot, kind, states).map(|(count, more)| json!({"count": count, "atLeast": more}))
    };
    let paused = paused.map(|control| json!({"by": control.by, "why": control.why, "at": print::time(control.at)}));
    json!({
        "queue": queue.name,
        "kind": kind,
        "paused": paused,
        "waiting": amount(&[JobState::Pending, JobState::Queued]),
        "running": amount(&[JobState::Running]),
        "retryable": amount(&[JobState::Retryable]),
    })
}
