//! Finishing jobs that were accepted before: how fast, and at what cost.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::bson::{Bson, DateTime, Document, doc};
use testkit::{Process, Services};

use crate::accept;
use crate::commands::Commands;
use crate::system::System;
use crate::usage::{self, Parts, Usage};

/// Jobs that are performed at once, by all workers of a system together.
pub const AT_ONCE: usize = 32;
/// Bytes of each file.
pub const FILE: usize = 200_000;
/// What finishing all of them may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// After what was written before is on the disk.
const QUIET: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct Drained {
    pub per_second: f64,
    pub usage: Usage,
    /// Bytes that the workers have half-way.
    pub memory: u64,
    /// MongoDB's with each of them.
    pub commands: String,
}

/// Starts a worker on so many uploads that a system has accepted while none ran.
pub async fn steep(system: &mut System, services: &Services, count: usize) -> anyhow::Result<Drained> {
    accept::until_published(system).await?;
    let run = Run::prepare(&system.database, count).await?;
    system.restart_worker()?;
    let mut parts = Parts::default();
    parts.add("worker", system.worker.identity().pid);
    // It has nothing to do, which is not quite nothing.
    parts.add("worker", system.api.identity().pid);
    parts.add("media host", system.media.process.identity().pid);
    parts.add_listener("mongod", &services.mongodb);
    parts.add_listener("broker", &services.rabbitmq);
    let ready = system.folder.join("spool/ready");
    let first = doc! { "$arrayElemAt": ["$attempts.startedAt", 0] };
    run.watch(&ready, std::slice::from_mut(&mut system.worker), &parts, first.into()).await
}

/// Jobs that wait for their workers.
#[derive(Debug)]
pub struct Run {
    database: Database,
    count: usize,
    asked: Commands,
}

impl Run {
    /// Waits until the disk has nothing left to do of what came before.
    pub async fn prepare(database: &Database, count: usize) -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(rustix::fs::sync).await?;
        tokio::time::sleep(QUIET).await;
        Ok(Self { database: database.clone(), count, asked: Commands::read(database).await? })
    }

    /// Measures from the first file that goes to the last. Nobody's start counts, and MongoDB is not asked meanwhile. The rate is by
    /// what the documents say; `begun` is where they do.
    pub async fn watch(
        self,
        spool: &Path,
        workers: &mut [Process],
        parts: &Parts,
        begun: Bson,
    ) -> anyhow::Result<Drained> {
        let deadline = Instant::now() + PATIENCE;
        let (mut before, mut memory) = (parts.read()?, 0);
        loop {
            let left = files(spool)?;
            if left == 0 {
                break;
            }
            if left == self.count {
                before = parts.read()?;
            } else if left < self.count / 2 && memory == 0 {
                for worker in workers.iter() {
                    memory += usage::memory(worker.identity().pid)?;
                }
            }
            for worker in workers.iter_mut() {
                worker.ensure_running()?;
            }
            anyhow::ensure!(Instant::now() < deadline, "{left} of {} files are left", self.count);
            // Reading a folder of thousands of names costs something.
            tokio::time::sleep(Duration::from_millis(if left == self.count { 10 } else { 50 })).await;
        }
        let usage = before.until(&parts.read()?);
        let commands = self.asked.each(&Commands::read(&self.database).await?, self.count);
        let per_second = self.count as f64 / self.span(begun).await?.as_secs_f64();
        Ok(Drained { per_second, usage, memory, commands })
    }

    async fn span(&self, begun: Bson) -> anyhow::Result<Duration> {
        let group = doc! {
            "_id": Bson::Null, "count": { "$sum": 1 }, "begun": { "$min": begun }, "ended": { "$max": "$finishedAt" },
        };
        let completed = doc! { "state": "completed", "finishedAt": { "$type": "date" } };
        let jobs = self.database.collection::<Document>("jobs");
        let mut found = jobs.aggregate([doc! { "$match": completed }, doc! { "$group": group }]).await?;
        let found = found.try_next().await?.context("no job was completed")?;
        let count = found.get_i32("count")?;
        anyhow::ensure!(usize::try_from(count)? == self.count, "{count} of {} jobs were completed", self.count);
        let at = |name: &str| found.get_datetime(name).map(|at: &DateTime| at.timestamp_millis());
        Ok(Duration::from_millis(u64::try_from(at("ended")? - at("begun")?)?.max(1)))
    }
}

fn files(folder: &Path) -> anyhow::Result<usize> {
    Ok(std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?.count())
}
