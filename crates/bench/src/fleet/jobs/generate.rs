//! Fills a database with millions of jobs in minutes: while no program runs, and without indexes, which are made again at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Acknowledgment, CollectionOptions, WriteConcern};
use mongodb::{Collection, Database};
use tokio::task::JoinSet;

use super::document::{Made, Scene, groups};

const COLLECTIONS: [&str; 3] = ["jobs", "assets", "events"];
/// Jobs that are inserted at once.
const CHUNK: u64 = 4_000;
/// Tasks that make and insert them.
const AT_ONCE: usize = 4;
const TOLD_EVERY: u64 = 500_000;

/// Inserts all jobs of a scene, and their assets.
pub async fn fill(database: &Database, scene: &Arc<Scene>) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut indexes = Vec::new();
    for collection in COLLECTIONS {
        indexes.push((collection, take_indexes(database, collection).await?));
    }
    let next = Arc::<AtomicU64>::default();
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        tasks.spawn(insert(database.clone(), Arc::clone(scene), Arc::clone(&next), begun));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    unconcerned(database, "error_groups").insert_many(groups(scene)).await?;
    for (collection, indexes) in indexes {
        if !indexes.is_empty() {
            database.run_command(doc! { "createIndexes": collection, "indexes": indexes }).await?;
        }
        println!("indexes of {collection} after {:.0} s", begun.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Drops the indexes of a collection, and answers with how to make them again.
async fn take_indexes(database: &Database, collection: &str) -> anyhow::Result<Vec<Bson>> {
    let listed = database.run_command(doc! { "listIndexes": collection }).await?;
    let listed = listed.get_document("cursor")?.get_array("firstBatch")?;
    let is_own =
        |index: &&Bson| index.as_document().is_some_and(|index| index.get_str("name").is_ok_and(|name| name != "_id_"));
    let indexes: Vec<Bson> = listed.iter().filter(is_own).cloned().collect();
    database.run_command(doc! { "dropIndexes": collection, "index": "*" }).await?;
    Ok(indexes)
}

async fn insert(database: Database, scene: Arc<Scene>, next: Arc<AtomicU64>, begun: Instant) -> anyhow::Result<()> {
    let [jobs, assets, events] = COLLECTIONS.map(|name| unconcerned(&database, name));
    loop {
        let first = next.fetch_add(CHUNK, Ordering::Relaxed);
        if first >= scene.jobs {
            return Ok(());
        }
        let (mut of_jobs, mut of_assets, mut of_events) = (Vec::new(), Vec::new(), Vec::new());
        for number in first..(first + CHUNK).min(scene.jobs) {
            let Made { job, asset, event } = scene.make(number);
            of_jobs.push(job);
            of_assets.extend(asset);
            of_events.extend(event);
        }
        for (collection, documents) in [(&jobs, of_jobs), (&assets, of_assets), (&events, of_events)] {
            if !documents.is_empty() {
                collection.insert_many(documents).ordered(false).await.context("inserting")?;
            }
        }
        if (first + CHUNK).is_multiple_of(TOLD_EVERY) {
            println!("{} jobs after {:.0} s", first + CHUNK, begun.elapsed().as_secs_f64());
        }
    }
}

fn unconcerned(database: &Database, name: &str) -> Collection<Document> {
    let concern = WriteConcern::builder().w(Acknowledgment::Nodes(1)).build();
    database.collection_with_options(name, CollectionOptions::builder().write_concern(concern).build())
}

/// Data, and what they and their indexes take on the disk, bytes.
pub async fn size(database: &Database) -> anyhow::Result<(u64, u64)> {
    let status = database.run_command(doc! { "dbStats": 1 }).await?;
    let number = |name: &str| {
        let value = status.get(name);
        let whole = value.and_then(|value| value.as_i64().or_else(|| value.as_i32().map(i64::from)));
        whole.or_else(|| value.and_then(Bson::as_f64).map(|value| value as i64)).unwrap_or_default().unsigned_abs()
    };
    Ok((number("dataSize"), number("storageSize") + number("indexSize")))
}
