//! Accepting small files: requests a second beside nginx.

use std::path::Path;
use std::time::{Duration, Instant};

use testkit::{Services, jpeg};

use super::nginx::Nginx;
use crate::load::{self, Load, Request};
use crate::system::{Form, System};
use crate::table::{Row, median};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 2;
/// Short, because nginx may fill a gigabyte of the disk in a second.
const ROUND: Duration = Duration::from_secs(8);
/// More than can upload in all rounds, so that each replaces an avatar once.
const USERS: usize = 50_000;

/// Requests a second of both: until the last was answered, and until the last file was on the disk.
#[derive(Default)]
struct Rates {
    answered: Vec<f64>,
    on_disk: Vec<f64>,
}

impl Rates {
    /// nginx does not sync. What it took until its files were on the disk is a figure too, since otherwise memory is measured. And
    /// what one has left in memory is not for the other to wait for.
    async fn of(&mut self, run: impl Future<Output = Load>) -> anyhow::Result<usize> {
        let started = Instant::now();
        let mut load = run.await;
        anyhow::ensure!(load.failed == 0, "{} requests failed", load.failed);
        self.answered.push(load.per_second());
        rustix::fs::sync();
        load.took = started.elapsed();
        self.on_disk.push(load.per_second());
        Ok(load.latencies.count())
    }
}

fn row(what: &'static str, ours: Vec<f64>, theirs: Vec<f64>) -> Row {
    let (ours, theirs) = (median(ours), median(theirs));
    Row {
        what,
        ours: format!("{ours:.0}/s"),
        yardstick: format!("{theirs:.0}/s"),
        ratio: format!("{:.0} %", ours / theirs * 100.0),
        bound: ">= 30 %",
        met: ours >= 0.3 * theirs,
    }
}

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Vec<Row>> {
    let picture = jpeg(200 * 1024);
    let system = System::start(root, services, USERS).await?;
    let nginx = Nginx::start(root).await?;
    system.worker.pause(true);
    let avatar =
        system.upload("PATCH", "/api/v1/users/avatar", &Form::new("avatar", "me.jpg", std::slice::from_ref(&picture)));
    let (mut ours, mut theirs, mut sent) = (Rates::default(), Rates::default(), 0);
    for round in 0..ROUNDS {
        let body = vec![picture.clone()];
        // New names in every round, and nothing is removed before the end: for a minute ext4 passes over the inodes of
        // removed files one by one, which would make whoever creates files next pay for it.
        let put = move |number| Request::new("PUT", &format!("/f/{round}-{number}.jpg"), "", body.clone());
        theirs.of(load::run(nginx.address, CONNECTIONS, ROUND, put)).await?;

        let (avatar, first) = (avatar.clone(), sent);
        let next = move |number| avatar(first + number);
        sent += ours.of(load::run(system.api_address, CONNECTIONS, ROUND, next)).await?;
    }
    system.remove().await?;
    Ok(vec![
        row("accepting a 200 KB avatar, 16 at a time, against nginx", ours.on_disk, theirs.on_disk),
        row("the same, while nginx's files may still be in memory", ours.answered, theirs.answered),
    ])
}
