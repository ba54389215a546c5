//! `worker jobs`: finding jobs, what they failed in, and redriving discarded ones.

mod errors;
mod filter;
mod find;
mod show;
mod views;

use anyhow::{Context as _, bail};
use messages::JobId;
use spool::{Spool, SpoolArgs};
use store::{JobRecord, Redrive, Store};

use self::filter::Filter;
use super::print;

/// Jobs.
#[derive(Debug, clap::Subcommand)]
pub enum Jobs {
    /// Discarded jobs, the latest first: id, time, kind, attempts, whether it can be redriven, reason. With a filter: jobs that
    /// fit, those that were accepted last first: id, time, state, kind, queue, attempts, worker, error
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many at most
        #[arg(long, value_name = "N", default_value = "100")]
        limit: u32,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// How many jobs fit a filter; all jobs without one
    Count {
        #[command(flatten)]
        filter: Filter,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Everything of a job
    Show {
        /// As `jobs list` prints it
        #[arg(value_name = "ID")]
        id: JobId,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What an id or a name is: of a job, an asset, a user or a group of errors
    Search {
        #[arg(value_name = "TEXT")]
        text: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Failures in groups, those that were met last first: id, time, count, kind, code, error
    Errors {
        /// Of one kind of jobs
        #[arg(long, value_name = "KIND", value_parser = filter::kind)]
        kind: Option<String>,
        /// How many at most
        #[arg(long, value_name = "N", default_value = "100")]
        limit: u32,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Redrive a discarded job: it runs again as if it were new
    Redrive {
        /// As `jobs list` prints it, and as its owner was given
        #[arg(value_name = "ID")]
        id: JobId,
    },
}

impl Jobs {
    pub(super) async fn run(self, store: &Store, spool: &SpoolArgs) -> anyhow::Result<()> {
        match self {
            Self::List { filter, limit, json } if !filter.is_empty() => find::list(store, filter, limit, json).await,
            Self::List { limit, json, .. } => list(store, limit, json).await,
            Self::Count { filter, json } => find::count(store, filter, json).await,
            Self::Show { id, json } => show::show(store, id, json).await,
            Self::Search { text, json } => find::search(store, &text, json).await,
            Self::Errors { kind, limit, json } => errors::list(store, kind.as_deref(), limit, json).await,
            Self::Redrive { id } => redrive(store, spool, id).await,
        }
    }
}

async fn list(store: &Store, limit: u32, json: bool) -> anyhow::Result<()> {
    let jobs = store.jobs().discarded(limit).await?;
    if json {
        return print::json(&jobs.iter().map(views::JobView::new).collect::<Vec<_>>());
    }
    let rows: Vec<[String; 6]> = jobs.iter().map(row).collect();
    print::table(["ID", "TIME", "KIND", "ATTEMPTS", "REDRIVE", "REASON"], &rows)
}

fn row(job: &JobRecord) -> [String; 6] {
    let reason = job.reason.clone().unwrap_or_else(|| "-".to_owned());
    let redrivable = if job.replayable { "yes" } else { "no" };
    let at = job.finished_at.unwrap_or(job.updated_at);
    [job.id.to_string(), print::time(at), job.kind.clone(), job.attempt.to_string(), redrivable.to_owned(), reason]
}

async fn redrive(store: &Store, spool: &SpoolArgs, id: JobId) -> anyhow::Result<()> {
    let job = store.jobs().find(id).await?;
    let asset = match job.and_then(|job| job.asset) {
        Some(asset) => store.media().find(asset).await?,
        None => None,
    };
    if let Some(spooled) = asset.and_then(|asset| asset.spooled) {
        let spool = open(spool)?;
        if *spool.id() != spooled.spool {
            bail!(
                "the job's file lies in spool {}, and SPOOL_DIR is spool {}: run this where that one is",
                spooled.spool,
                spool.id()
            );
        }
        let file = spool.open_file(spooled.file).await;
        file.context("the job's file is gone from the spool; it has to be uploaded again")?;
    }
    match store.media().redrive(id).await? {
        Redrive::Done(job) => print::line(&format!("{} is {}; a worker takes it in a moment", job.id, job.state)),
        Redrive::Refused(why) => bail!("{id}: {why}"),
    }
}

/// The spool that is there: opening makes a new one where there is none, which a question must not.
fn open(args: &SpoolArgs) -> anyhow::Result<Spool> {
    if !args.spool_dir.join("id").exists() {
        bail!("SPOOL_DIR: expected the spool that holds the job's file, but {} is none", args.spool_dir.display());
    }
    Ok(args.open()?)
}
