//! Waits until nothing happens any more, after the last fault.

use std::path::Path;
use std::time::{Duration, Instant};

use mongodb::Database;
use mongodb::bson::{Document, doc};
use serde_json::Value;
use tokio::time::sleep;

use crate::system::System;

/// The slowest way back: a file without a job is looked at after a minute, and again a minute later; a lost message is looked for
/// after a minute; a job whose worker vanished waits for its lease, and one that was refused by the media host's fault for its
/// delay.
pub const DEADLINE: Duration = Duration::from_secs(210);

/// How quiet came.
#[derive(Debug)]
pub struct Quiet {
    pub after: Duration,
    /// What was still going on shortly before.
    pub last: Vec<String>,
    /// What is still going on, at the deadline; empty when everything is at rest.
    pub unrest: Vec<String>,
}

pub async fn wait(system: &System, database: &Database) -> anyhow::Result<Quiet> {
    let began = Instant::now();
    let mut last = Vec::new();
    loop {
        let unrest = look(system, database).await?;
        if unrest.is_empty() || began.elapsed() > DEADLINE {
            return Ok(Quiet { after: began.elapsed(), last, unrest });
        }
        last = unrest;
        sleep(Duration::from_millis(500)).await;
    }
}

/// What is not at rest.
async fn look(system: &System, database: &Database) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for page in system.apis.iter().chain(&system.workers) {
        let ready = reqwest::get(format!("{page}/readyz")).await;
        match ready {
            Ok(reply) if reply.status().is_success() => {}
            Ok(reply) => lines.push(format!("{page}/readyz: {} {}", reply.status(), reply.text().await?)),
            Err(error) => lines.push(format!("{page}/readyz: {error}")),
        }
    }
    let unfinished = doc! { "state": { "$nin": ["completed", "cancelled", "discarded"] } };
    for job in find(database, "jobs", unfinished).await? {
        lines.push(format!("job {} {} is {}", text(&job, "_id"), text(&job, "kind"), text(&job, "state")));
    }
    let intents = find(database, "subscription_intents", doc! {}).await?.len();
    if intents > 0 {
        lines.push(format!("{intents} changes of subscriptions are not counted"));
    }
    let wanted = kept_files(database).await?;
    for (area, file) in spooled(&system.folder)? {
        if area != "ready" || !wanted.contains(&file) {
            lines.push(format!("spool: {area}/{file} is nobody's"));
        }
    }
    lines.extend(queues(system).await);
    Ok(lines)
}

/// The files of discarded jobs, which a person may redrive.
pub async fn kept_files(database: &Database) -> anyhow::Result<Vec<String>> {
    let discarded = find(database, "jobs", doc! { "state": "discarded", "replayable": true }).await?;
    let assets: Vec<_> = discarded.iter().filter_map(|job| job.get("asset").cloned()).collect();
    let assets = find(database, "assets", doc! { "_id": { "$in": assets } }).await?;
    let file = |asset: &Document| Some(asset.get_document("spool").ok()?.get_str("file").ok()?.to_owned());
    Ok(assets.iter().filter_map(file).collect())
}

/// Files in the spool, with their areas.
pub fn spooled(folder: &Path) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut files = Vec::new();
    for area in ["incoming", "ready"] {
        for entry in std::fs::read_dir(folder.join("spool").join(area))? {
            files.push((area, entry?.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(files)
}

/// Queues with something in them, dead letters included.
async fn queues(system: &System) -> Vec<String> {
    let asked = async {
        let url = format!("{}/api/queues?disable_stats=true&enable_queue_totals=true", system.management);
        let reply = reqwest::Client::new().get(url).basic_auth("guest", Some("guest")).send().await?;
        reply.error_for_status()?.json::<Value>().await
    };
    let queues = match asked.await {
        Ok(queues) => queues,
        Err(error) => return vec![format!("RabbitMQ's management: {error}")],
    };
    let queues = queues.as_array().into_iter().flatten();
    let filled = queues.filter(|queue| queue["messages"].as_u64() != Some(0));
    filled.map(|queue| format!("queue {}: {} messages", queue["name"], queue["messages"])).collect()
}

/// Documents that fit.
pub async fn find(database: &Database, collection: &str, filter: Document) -> anyhow::Result<Vec<Document>> {
    use futures_util::TryStreamExt;
    Ok(database.collection::<Document>(collection).find(filter).await?.try_collect().await?)
}

/// A field as text.
pub fn text(document: &Document, field: &str) -> String {
    match document.get(field) {
        Some(mongodb::bson::Bson::String(text)) => text.clone(),
        Some(mongodb::bson::Bson::ObjectId(id)) => id.to_hex(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
