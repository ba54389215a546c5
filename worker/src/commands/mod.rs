//! What a person asks for: dead letters, discarded jobs, a recount, an adoption.
//!
//! Results go to standard output, the log to standard error. A command ends with 0 when it did what it was for, else with 1.

mod counts;
mod dead;
mod jobs;
mod print;

use std::process::ExitCode;

use spool::SpoolArgs;

/// What to do instead of working.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Look at messages that no worker could work on, and replay them
    #[command(subcommand)]
    Dead(dead::Dead),
    /// Look at discarded jobs, and redrive them
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// Compare stored subscriber counts with a recount, mend what differs, and say how many did
    Reconcile {
        /// The username of one channel; without it everybody is compared
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
    },
    /// Take over the subscriptions of an adopted database once more, and list what could not be taken over as it was
    Adopt,
}

/// Where jobs and messages are.
#[derive(Debug)]
pub struct Services {
    pub store: store::Config,
    pub broker: broker::Config,
    pub spool: SpoolArgs,
}

impl Command {
    pub async fn run(self, services: Services) -> ExitCode {
        let done = match self {
            Self::Dead(dead) => dead.run(services.broker).await,
            Self::Jobs(jobs) => jobs.run(services.store, &services.spool).await,
            Self::Reconcile { channel } => counts::reconcile(services.store, channel.as_deref()).await,
            Self::Adopt => counts::adopt(services.store).await,
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
