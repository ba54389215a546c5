//! Ten thousand toggles of one channel at once: how often it is counted, and how soon the number is right.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mongodb::bson::{DateTime, Document, doc, oid::ObjectId};

use super::stage::Stage;
use crate::load::Connection;
use crate::table::{Row, milliseconds};

const TOGGLES: usize = 10_000;
const CLIENTS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn measure(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    stage.settle().await?;
    // Not paused on account of what came before.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let channel = stage.quiet.clone();
    let path = format!("/api/v1/subscriptions/c/{}", channel.id);
    let request = stage.request("POST", move |_| path.clone());
    let (begun, number) = (DateTime::now(), Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (request, number, address) = (request.clone(), Arc::clone(&number), stage.system.api_address);
        clients.spawn(async move {
            let mut connection = Connection::new(address);
            loop {
                let number = number.fetch_add(1, Ordering::Relaxed);
                if number >= TOGGLES {
                    return anyhow::Ok(());
                }
                let reply = connection.send(&request(number)).await?;
                anyhow::ensure!(reply.status == 200, "a toggle was answered with {}", reply.status);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    let last = Instant::now();
    let exact = loop {
        if is_exact(stage, &channel.name, ObjectId::from_bytes(channel.id.bytes())).await? {
            break last.elapsed();
        }
        anyhow::ensure!(last.elapsed() < PATIENCE, "the count stays wrong");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    stage.settle().await?;
    let recomputes = stage.recomputes(&channel, begun).await?.len();
    Ok(vec![
        Row {
            what: "recounts for 10,000 toggles of one channel",
            ours: recomputes.to_string(),
            yardstick: String::new(),
            ratio: String::new(),
            bound: "<= 20",
            met: recomputes <= 20,
        },
        Row {
            what: "exact after the last of them",
            ours: milliseconds(exact),
            yardstick: String::new(),
            ratio: String::new(),
            bound: "<= 2 s",
            met: exact <= Duration::from_secs(2),
        },
    ])
}

async fn is_exact(stage: &Stage, name: &str, channel: ObjectId) -> anyhow::Result<bool> {
    let users = stage.system.database.collection::<Document>("users");
    let found = users.find_one(doc! { "username": name }).await?.unwrap_or_default();
    let stored = found.get_document("steep").and_then(|steep| steep.get_document("aggregates"));
    let stored = stored.ok().and_then(|stored| stored.get_i64("subscribersCount").ok());
    let subscriptions = stage.system.database.collection::<Document>("subscriptions");
    let counted = subscriptions.count_documents(doc! { "channel": channel }).await?;
    Ok(stored == i64::try_from(counted).ok())
}
