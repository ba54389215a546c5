//! `worker jobs`: discarded jobs.

use anyhow::{Context as _, bail};
use messages::JobId;
use spool::{Spool, SpoolArgs};
use store::{JobRecord, Redrive, Store};

use super::print;

/// Discarded jobs.
#[derive(Debug, clap::Subcommand)]
pub enum Jobs {
    /// Discarded jobs, the latest first: id, time, kind, attempts, whether it can be redriven, reason
    List {
        /// How many at most
        #[arg(long, value_name = "N", default_value = "100")]
        limit: u32,
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
            Self::List { limit } => list(store, limit).await,
            Self::Redrive { id } => redrive(store, spool, id).await,
        }
    }
}

async fn list(store: &Store, limit: u32) -> anyhow::Result<()> {
    let jobs = store.jobs().discarded(limit).await?;
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
