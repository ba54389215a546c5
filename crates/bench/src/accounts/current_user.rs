//! Who is asking: requests a second beside bare look-ups of the same users by the same driver.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Document, RawDocumentBuf, doc, oid::ObjectId};
use testkit::Services;
use tokio::task::JoinSet;

use super::{USERS, current_user_of};
use crate::load;
use crate::system::System;
use crate::table::{Row, median};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(5);

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Row> {
    let system = System::start(root, services, USERS).await?;
    let ids: Vec<Document> = system.database.collection("users").find(doc! {}).await?.try_collect().await?;
    let ids: anyhow::Result<Vec<ObjectId>> = ids.iter().map(|user| Ok(user.get_object_id("_id")?)).collect();
    let ids = Arc::new(ids?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(look_ups(system.database.collection("users"), &ids).await?);
        let load = load::run(system.api_address, CONNECTIONS, ROUND, current_user_of(&system)).await;
        anyhow::ensure!(load.failed == 0, "{} requests failed", load.failed);
        ours.push(load.per_second());
    }
    system.remove().await?;
    let (ours, theirs) = (median(ours), median(theirs));
    Ok(Row {
        what: "GET /current-user, 16 at a time, against a bare find_one",
        ours: format!("{ours:.0}/s"),
        yardstick: format!("{theirs:.0}/s"),
        ratio: format!("{:.0} %", ours / theirs * 100.0),
        bound: ">= 60 %",
        met: ours >= 0.6 * theirs,
    })
}

/// As many a second as the driver gives when nothing is done with them, not even decoding.
async fn look_ups(users: Collection<RawDocumentBuf>, ids: &Arc<Vec<ObjectId>>) -> anyhow::Result<f64> {
    let (started, counter) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (users, ids, counter) = (users.clone(), ids.clone(), counter.clone());
        tasks.spawn(async move {
            while started.elapsed() < ROUND {
                let id = ids[counter.fetch_add(1, Ordering::Relaxed) % ids.len()];
                users.find_one(doc! { "_id": id }).await?.context("a user is gone")?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(counter.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
}
