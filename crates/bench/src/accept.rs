//! Accepting so many uploads: how fast, and at what cost.

use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use testkit::{Services, jpeg};

use crate::commands::Commands;
use crate::load;
use crate::system::{Form, System};
use crate::usage::{Parts, Usage};

/// Connections of the clients.
pub const AT_ONCE: usize = 16;
/// How long the last messages may take to be published.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    Avatar,
    Media,
}

#[derive(Clone, Debug)]
pub struct Accepted {
    pub per_second: f64,
    pub usage: Usage,
    /// MongoDB's with each of them.
    pub commands: String,
    /// Whose message was not at the broker when the last one was answered.
    pub unpublished: u64,
}

/// Uploads files of one size by users in turn.
pub async fn accept(
    system: &System,
    services: &Services,
    upload: Upload,
    size: usize,
    count: usize,
) -> anyhow::Result<Accepted> {
    let (method, path, field) = match upload {
        Upload::Avatar => ("PATCH", "/api/v1/users/avatar", "avatar"),
        Upload::Media => ("POST", "/api/v1/media", "file"),
    };
    let next = system.upload(method, path, &Form::new(field, "me.jpg", &[jpeg(size)]));
    let mut parts = Parts::default();
    parts.add("api", system.api.identity().pid);
    parts.add("load client", std::process::id().cast_signed());
    parts.add_listener("mongod", &services.mongodb);
    parts.add_listener("broker", &services.rabbitmq);
    let (before, asked) = (parts.read()?, Commands::read(&system.database).await?);
    let load = load::send(system.api_address, AT_ONCE, count, next).await;
    let usage = before.until(&parts.read()?);
    let commands = asked.each(&Commands::read(&system.database).await?, count);
    anyhow::ensure!(load.failed == 0, "{} uploads failed", load.failed);
    let unpublished = jobs(system, "pending").await?;
    Ok(Accepted { per_second: load.per_second(), usage, commands, unpublished })
}

/// Waits until every message is at the broker.
pub async fn until_published(system: &System) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = jobs(system, "pending").await?;
        if left == 0 {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{left} messages were not published");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn jobs(system: &System, state: &str) -> anyhow::Result<u64> {
    Ok(system.database.collection::<Document>("jobs").count_documents(doc! { "state": state }).await?)
}
