//! Adopting the data of chai-backend: 100,000 users and 2,000,000 subscriptions.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use testkit::{Services, adopted};

use crate::system::System;
use crate::table::{Row, median, milliseconds};

const USERS: usize = 100_000;
const SUBSCRIPTIONS: usize = 2_000_000;
const PATIENCE: Duration = Duration::from_secs(30 * 60);
const READ_EVERY: Duration = Duration::from_millis(20);

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Vec<Row>> {
    let mut system = System::start(root, services, 0).await?;
    // As chai-backend leaves it: without our indexes and our notes.
    system.worker.kill();
    for collection in ["users", "subscriptions", "adoption"] {
        system.database.collection::<Document>(collection).drop().await?;
    }
    let filled = adopted::fill(&system.database, USERS, SUBSCRIPTIONS).await?;
    let begun = Instant::now();
    system.restart_worker()?;
    let adoption = system.database.collection::<Document>("adoption");
    let users = system.database.collection::<Document>("users");
    let first = users.find_one(doc! { "username": "user0" }).await?.context("the first user")?.get_object_id("_id")?;
    let subscriptions = system.database.collection::<Document>("subscriptions");
    let mut reads = Vec::new();
    while adoption.find_one(doc! { "finishedAt": { "$exists": true } }).await?.is_none() {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "not taken over in time");
        // What the collections' new indexes must not keep from being read. Everybody subscribes to the first user, so one of those
        // is found without an index, too.
        for (collection, filter) in [(&users, doc! { "_id": first }), (&subscriptions, doc! { "channel": first })] {
            let read = Instant::now();
            collection.find_one(filter).await?.context("something to read")?;
            reads.push(read.elapsed().as_secs_f64());
        }
        tokio::time::sleep(READ_EVERY).await;
    }
    let took = begun.elapsed();
    let longest = reads.iter().copied().fold(0.0, f64::max);
    let left = users.count_documents(doc! { "steep.aggregates.computedAt": { "$exists": false } }).await?;
    let wrong = wrong(&users).await?;
    let aside = system.database.collection::<Document>("subscriptions_set_aside").count_documents(doc! {}).await?;
    let findings = adoption.count_documents(doc! { "kind": { "$exists": true } }).await?;
    let expected = filled.duplicates + filled.dangling + filled.taken;
    let seconds = |time: f64| milliseconds(Duration::from_secs_f64(time));
    let plain = |what, ours, bound, met| Row { what, ours, yardstick: String::new(), ratio: String::new(), bound, met };
    let rows = vec![
        plain(
            "taking over 100,000 users and 2,000,000 subscriptions",
            format!("{:.0} s, {wrong} wrong", took.as_secs_f64()),
            "all counted, as a recount says",
            left == 0 && wrong == 0,
        ),
        plain(
            "reads meanwhile: median / longest",
            format!("{} / {}", seconds(median(reads)), seconds(longest)),
            "< 1 s",
            longest < 1.0,
        ),
        plain(
            "duplicates set aside; findings reported",
            format!("{aside}; {findings}"),
            "all of them",
            aside == filled.duplicates as u64 && findings == expected as u64,
        ),
    ];
    system.remove().await?;
    Ok(rows)
}

/// How many users' stored numbers are not what the subscriptions say.
async fn wrong(users: &Collection<Document>) -> anyhow::Result<i64> {
    let counted = |field: &str, into: &str| {
        doc! { "$lookup": {
            "from": "subscriptions",
            "localField": "_id",
            "foreignField": field,
            "pipeline": [{ "$count": "n" }],
            "as": into,
        } }
    };
    let differs = |stored: &str, counted: &str| {
        doc! { "$ne": [stored, { "$ifNull": [{ "$first": counted }, 0] }] }
    };
    let pipeline = [
        counted("channel", "subscribers"),
        counted("subscriber", "subscriptions"),
        doc! { "$match": { "$expr": { "$or": [
            differs("$steep.aggregates.subscribersCount", "$subscribers.n"),
            differs("$steep.aggregates.channelsSubscribedToCount", "$subscriptions.n"),
        ] } } },
        doc! { "$group": { "_id": null, "n": { "$sum": 1_i64 } } },
    ];
    let Some(found) = users.aggregate(pipeline).await?.try_next().await? else { return Ok(0) };
    found.get_i64("n").context("a number of users")
}
