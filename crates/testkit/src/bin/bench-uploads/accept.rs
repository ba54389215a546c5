//! Accepting small files: requests a second beside nginx.

use std::path::Path;
use std::time::{Duration, Instant};

use testkit::bench::{Row, median};
use testkit::load::{self, Load, Request};
use testkit::{Services, jpeg};

use crate::nginx::Nginx;
use crate::world::{Form, World};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 2;
/// Short, because nginx may fill a gigabyte of the disk in a second.
const ROUND: Duration = Duration::from_secs(8);
/// More than can upload in all rounds, so that each replaces an avatar once.
const USERS: usize = 50_000;

/// nginx does not sync: what it took until its files were on the disk counts too, or memory would be measured. And what one
/// has left in memory is not for the other to wait for.
async fn until_on_disk(run: impl Future<Output = Load>) -> Load {
    let started = Instant::now();
    let mut load = run.await;
    rustix::fs::sync();
    load.took = started.elapsed();
    load
}

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Row> {
    let picture = jpeg(200 * 1024);
    let world = World::start(root, services, USERS).await?;
    let nginx = Nginx::start(root).await?;
    world.worker.pause(true)?;
    let avatar =
        world.upload("PATCH", "/api/v1/users/avatar", &Form::new("avatar", "me.jpg", std::slice::from_ref(&picture)));
    let (mut ours, mut theirs, mut sent) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        let body = vec![picture.clone()];
        // New names in every round, and nothing is removed before the end: for a minute ext4 passes over the inodes of
        // removed files one by one, which would make whoever creates files next pay for it.
        let put = move |number| Request::new("PUT", &format!("/f/{round}-{number}.jpg"), "", body.clone());
        let load = until_on_disk(load::run(nginx.address, CONNECTIONS, ROUND, put)).await;
        anyhow::ensure!(load.failed == 0, "{} requests to nginx failed", load.failed);
        theirs.push(load.per_second());

        let (avatar, first) = (avatar.clone(), sent);
        let next = move |number| avatar(first + number);
        let load = until_on_disk(load::run(world.api_address, CONNECTIONS, ROUND, next)).await;
        anyhow::ensure!(load.failed == 0, "{} uploads failed", load.failed);
        sent += load.latencies.count();
        ours.push(load.per_second());
    }
    world.remove().await?;
    let (ours, theirs) = (median(ours), median(theirs));
    Ok(Row {
        what: "accepting a 200 KB avatar, 16 at a time, against nginx",
        ours: format!("{ours:.0}/s"),
        yardstick: format!("{theirs:.0}/s"),
        ratio: format!("{:.0} %", ours / theirs * 100.0),
        bound: ">= 30 %",
        met: ours >= 0.3 * theirs,
    })
}
