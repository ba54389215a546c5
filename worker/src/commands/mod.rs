//! What a person asks for: dead letters, jobs and their failures, endpoints of webhooks, a recount, an adoption.
//!
//! Results go to standard output, the log to standard error. A command ends with 0 when it did what it was for, else with 1.

mod counts;
mod dead;
mod jobs;
mod print;
mod queues;
mod steer;
mod webhooks;
mod workers;

use std::process::ExitCode;

use outbound::Reach;
use spool::SpoolArgs;
use store::Store;

/// What to do instead of working.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Look at messages that no worker could work on, and replay them
    #[command(subcommand)]
    Dead(dead::Dead),
    /// Find jobs and what they failed in, and redrive discarded ones
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// Look at the workers, and have one drain
    #[command(subcommand)]
    Workers(workers::Workers),
    /// Look at the queues, and pause and resume them
    #[command(subcommand)]
    Queues(queues::Queues),
    /// Look at, add and remove endpoints that get everybody's events
    #[command(subcommand)]
    Webhooks(webhooks::Webhooks),
    /// Compare stored subscriber counts with a recount, mend what differs, and say how many did
    Reconcile {
        /// The username of one channel; without it everybody is compared
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
    },
    /// Take over the subscriptions of an adopted database once more, and list what could not be taken over as it was
    Adopt,
}

impl Command {
    pub async fn run(self, store: store::Config, broker: broker::Config, spool: &SpoolArgs, reach: Reach) -> ExitCode {
        let done = match self {
            Self::Dead(dead) => dead.run(broker).await,
            // Boxed: its state is large.
            Self::Jobs(jobs) => on(store, async |store| Box::pin(jobs.run(store, spool)).await).await,
            Self::Workers(workers) => on(store, async |store| workers.run(store).await).await,
            Self::Queues(queues) => on(store, async |store| queues.run(store).await).await,
            Self::Webhooks(webhooks) => on(store, async |store| webhooks.run(store, reach).await).await,
            Self::Reconcile { channel } => {
                on(store, async |store| counts::reconcile(store, channel.as_deref()).await).await
            }
            Self::Adopt => on(store, counts::adopt).await,
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                print::failure(&error);
                ExitCode::FAILURE
            }
        }
    }
}

/// Does something with the database, and closes the connection whatever came of it.
async fn on(store: store::Config, work: impl AsyncFnOnce(&Store) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let store = Store::connect(&store.check("steep-worker")?).await?;
    let done = work(&store).await;
    store.close().await;
    done
}
