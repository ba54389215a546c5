//! Reading a channel's profile: the same for ten subscribers and for a million, and beside a bare look-up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use mongodb::bson::{RawDocumentBuf, doc};

use super::stage::Stage;
use crate::load;
use crate::table::{Row, median};

const CONNECTIONS: usize = 16;
/// In two of them each of the three channels is the first.
const ROUNDS: usize = 6;
const ROUND: Duration = Duration::from_secs(4);

pub async fn measure(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    stage.settle().await?;
    let (mut profiles, mut bare) = ([Vec::new(), Vec::new(), Vec::new()], Vec::new());
    for round in 0..ROUNDS {
        for turn in 0..profiles.len() {
            let which = (round + turn) % profiles.len();
            let (channel, rates) = (&stage.sizes[which].0, &mut profiles[which]);
            let path = format!("/api/v1/users/c/{}", channel.name);
            let request = stage.request("GET", move |_| path.clone());
            let load = load::run(stage.system.api_address, CONNECTIONS, ROUND, request).await;
            anyhow::ensure!(load.failed == 0, "{} profiles failed", load.failed);
            rates.push(load.per_second());
        }
        bare.push(bare_look_ups(stage).await?);
    }
    let [small, medium, large] = profiles.map(median);
    let bare = median(bare);
    let (least, most) = (small.min(medium).min(large), small.max(medium).max(large));
    Ok(vec![
        Row {
            what: "profiles/s with 10 / 100,000 / 1,000,000 subscribers",
            ours: format!("{small:.0} / {medium:.0} / {large:.0}"),
            yardstick: String::new(),
            ratio: format!("{:.0} %", (most - least) / most * 100.0),
            bound: "<= 10 % apart",
            met: most - least <= 0.1 * most,
        },
        Row {
            what: "the least of them, against a bare find_one",
            ours: format!("{least:.0}/s"),
            yardstick: format!("{bare:.0}/s"),
            ratio: format!("{:.0} %", least / bare * 100.0),
            bound: ">= 50 %",
            met: least >= 0.5 * bare,
        },
    ])
}

/// The plainest client, at the same concurrency, of the same documents by an index, with nothing decoded.
async fn bare_look_ups(stage: &Stage) -> anyhow::Result<f64> {
    let users = stage.system.database.collection::<RawDocumentBuf>("users");
    let name = Arc::new(stage.hot().name.clone());
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (users, name) = (users.clone(), Arc::clone(&name));
        tasks.spawn(async move {
            let mut found = 0_usize;
            while begun.elapsed() < ROUND {
                users.find_one(doc! { "username": name.as_str() }).await?.context("the user")?;
                found += 1;
            }
            anyhow::Ok(found)
        });
    }
    let mut found = 0;
    while let Some(count) = tasks.join_next().await {
        found += count??;
    }
    Ok(found as f64 / begun.elapsed().as_secs_f64())
}
