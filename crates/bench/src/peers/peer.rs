//! One peer in its turn: with documents, files, a virtual host or a Redis, and a media host of its own.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use testkit::process::{self, free_address};
use testkit::{Process, VirtualHost, jpeg};
use uuid::Uuid;
use xtask::peers::System;
use xtask::process::last_lines;

use super::Stage;
use super::command::{self, Invocation};
use super::producer::{self, Producer};
use crate::accept::Accepted;
use crate::commands::Commands;
use crate::drain::{Drained, FILE, Run};
use crate::media_host::MediaHost;
use crate::usage::Parts;

pub struct Peer {
    system: System,
    folder: PathBuf,
    spool: PathBuf,
    database: Database,
    host: VirtualHost,
    media: MediaHost,
    redis: Option<Process>,
    /// What every process of it is told.
    env: Vec<(&'static str, String)>,
    /// All but its own processes.
    parts: Parts,
}

impl Peer {
    pub async fn start(system: System, stage: &Stage<'_>) -> anyhow::Result<Self> {
        if let Some(reason) = system.skipped() {
            anyhow::bail!("skipped: {reason}");
        }
        let services = stage.services;
        let name = format!("bench-{}", Uuid::new_v4().simple());
        let folder = stage.root.join(&name);
        let spool = folder.join("spool");
        fs::create_dir_all(&spool).with_context(|| format!("creating {}", spool.display()))?;
        let host = VirtualHost::create(services, &name).await;
        let media = MediaHost::start(stage.media_folder().unwrap_or_else(|| folder.join("media")), &folder).await?;
        let mut parts = Parts::default();
        parts.add("media host", media.process.identity().pid);
        parts.add_listener("mongod", &services.mongodb);
        let mut env = vec![
            ("MONGODB_URI", services.mongodb.clone()),
            ("MONGODB_DATABASE", name.clone()),
            ("RABBITMQ_URL", host.url()),
            ("SPOOL", spool.display().to_string()),
            ("UPLOAD_URL", format!("{}/v1_1/demo/image/upload", media.url)),
            ("API_KEY", "1234".to_owned()),
            ("API_SECRET", "abcd".to_owned()),
            ("PYTHONPATH", command::python_path()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            // The last lines of a log say what went wrong.
            ("RUST_BACKTRACE", "0".to_owned()),
        ];
        let mut redis = None;
        if command::needs_redis(system) {
            let (process, url) = start_redis(&folder).await?;
            parts.add("broker", process.identity().pid);
            redis = Some(process);
            env.push(("REDIS_URL", url));
        } else {
            parts.add_listener("broker", &services.rabbitmq);
        }
        let database = mongodb::Client::with_uri_str(&services.mongodb).await?.database(&name);
        Ok(Self { system, folder, spool, database, host, media, redis, env, parts })
    }

    /// Inserts so many documents and publishes a message for each, without HTTP and without files.
    pub async fn accept(&self, count: usize) -> anyhow::Result<Accepted> {
        // Making a collection is not what is measured.
        self.database.create_collection("jobs").await?;
        let asked = Commands::read(&self.database).await?;
        let mut producers = Vec::new();
        for (number, invocation) in command::accept(self.system, count)?.iter().enumerate() {
            let log = self.folder.join(format!("producer-{number}.log"));
            producers.push(Producer::start(invocation, &self.env, &log)?);
        }
        let parts = self.parts.clone();
        let usage = tokio::task::spawn_blocking(|| producer::measure(producers, parts)).await??;
        let commands = asked.each(&Commands::read(&self.database).await?, count);
        Ok(Accepted { per_second: count as f64 / usage.took.as_secs_f64(), usage, commands, unpublished: 0 })
    }

    /// Has so many jobs wait with their documents, files and messages, then starts the workers.
    pub async fn drain(&mut self, count: usize) -> anyhow::Result<Drained> {
        self.prepare(count).await?;
        self.load(command::load(self.system)?).await?;
        let run = Run::prepare(&self.database, count).await?;
        let mut workers = Vec::new();
        let mut parts = self.parts.clone();
        for (number, Invocation { program, arguments }) in command::work(self.system)?.iter().enumerate() {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let name = format!("worker-{number}");
            let worker = process::spawn(&name, program, &arguments, &self.env, &self.folder)?;
            parts.add("worker", worker.identity().pid);
            workers.push(worker);
        }
        run.watch(&self.spool, &mut workers, &parts, Bson::from("$startedAt")).await
    }

    async fn prepare(&self, count: usize) -> anyhow::Result<()> {
        let picture = jpeg(FILE);
        let [mut jobs, mut assets, mut users] = [const { Vec::new() }; 3];
        for number in 0..count {
            let (job, asset, owner) = (format!("{number:06}"), ObjectId::new(), ObjectId::new());
            fs::write(self.spool.join(&job), &picture).with_context(|| format!("writing the file of job {job}"))?;
            jobs.push(doc! { "_id": job, "state": "queued", "attempt": 0, "asset": asset, "owner": owner });
            assets.push(doc! { "_id": asset, "owner": owner, "state": "pending", "bytes": FILE as i64 });
            users.push(doc! { "_id": owner, "avatar": "" });
        }
        for (name, documents) in [("jobs", jobs), ("assets", assets), ("users", users)] {
            self.database.collection::<Document>(name).insert_many(documents).await?;
        }
        Ok(())
    }

    async fn load(&self, invocation: Invocation) -> anyhow::Result<()> {
        let mut command = invocation.command();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let log = self.folder.join("load.log");
        let file = fs::File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        command.stdout(file.try_clone()?).stderr(file);
        let status = tokio::task::spawn_blocking(move || command.status()).await?;
        let status = status.with_context(|| format!("running {}", invocation.program.display()))?;
        ensure!(status.success(), "loading its queue failed ({status}):\n{}", last_lines(&log, 8));
        Ok(())
    }

    pub async fn remove(self) -> anyhow::Result<()> {
        let Self { folder, database, host, media, redis, .. } = self;
        drop((media, redis));
        host.delete().await;
        database.drop().await?;
        Ok(fs::remove_dir_all(folder)?)
    }
}

/// As durable as Redis is by its own advice: what was answered survives its crash, and all but the last second a power cut.
async fn start_redis(folder: &std::path::Path) -> anyhow::Result<(Process, String)> {
    let address = free_address()?;
    let data = folder.join("redis");
    fs::create_dir_all(&data).with_context(|| format!("creating {}", data.display()))?;
    let (port, data) = (address.port().to_string(), data.display().to_string());
    let options = ["--port", &port, "--bind", "127.0.0.1", "--dir", &data, "--save", ""];
    let durable = ["--appendonly", "yes", "--appendfsync", "everysec"];
    let arguments = [&options[..], &durable[..]].concat();
    let mut redis = process::spawn("redis", &command::redis_server(), &arguments, &[], folder)?;
    process::until_listening(&mut redis, address).await?;
    Ok((redis, format!("redis://{address}")))
}
