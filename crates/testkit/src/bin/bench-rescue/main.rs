//! `cargo xtask bench rescue`: how soon an upload runs again elsewhere after its worker was killed.
//!
//! Two workers share uploads that take their time at the media host. One of them is killed (SIGKILL) while it has some of
//! them under way, and replaced; the other one has been connected for long. What counts is the time from the kill to the
//! beginning of the next attempt, by the database's record. With a number, that many kills.

#![allow(clippy::print_stdout, reason = "a table is what this program is for")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use messages::JobId;
use serde_json::json;
use store::{JobRecord, JobState};
use testkit::bench::world::{Form, World};
use testkit::bench::{self, Row, milliseconds};
use testkit::load::{Connection, Latencies};
use testkit::{Services, jpeg};
use time::OffsetDateTime;

const KILLS: usize = 40;
/// Uploads under way at each kill, of which about half are the victim's.
const UPLOADS: usize = 6;
/// What an upload lasts.
const SLOW: Duration = Duration::from_secs(2);
/// A worker whose connection is younger than this is more careful before it takes a job over.
const SETTLED: Duration = Duration::from_secs(21);
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt().with_env_filter("warn,lapin=off").with_writer(std::io::stderr).init();
    let kills = std::env::args().nth(1).map_or(Ok(KILLS), |kills| kills.parse()).context("name a number of kills")?;
    let root = std::env::current_dir()?.join(".steep").join(format!("bench-{}", std::process::id()));
    std::fs::create_dir_all(&root)?;
    let rescued = measure(&root, &Services::from_env(), kills).await;
    std::fs::remove_dir_all(&root)?;
    let rescued = rescued?;
    println!("{} uploads rescued after {kills} kills", rescued.count());
    let row = |what, share, bound, limit: Duration| {
        let time = rescued.percentile(share);
        let (yardstick, ratio) = (String::new(), String::new());
        Row { what, ours: milliseconds(time), yardstick, ratio, bound, met: time <= limit }
    };
    let (second, more) = (Duration::from_secs(1), Duration::from_secs(5));
    Ok(bench::print(&[
        row("from SIGKILL to running elsewhere, p50", 0.5, "<= 1 s", second),
        row("p99", 0.99, "<= 1 s", second),
        row("max", 1.0, "<= 5 s", more),
    ]))
}

async fn measure(root: &Path, services: &Services, kills: usize) -> anyhow::Result<Latencies> {
    let world = World::start(root, services, 16).await?;
    let delay = json!({ "effect": "delay", "ms": SLOW.as_millis() as u64, "action": "upload" });
    let faults = format!("{}/__admin/faults", world.media_url);
    reqwest::Client::new().post(faults).json(&delay).send().await?.error_for_status()?;
    let first = submit(&world, 0).await?;
    let survivor = until(&world, first, |job| job.state == JobState::Completed).await?;
    let survivor = survivor.attempts.first().context("an attempt")?.worker.clone();
    tokio::time::sleep(SETTLED).await;

    let mut rescued = Latencies::default();
    for kill in 0..kills {
        let mut victim = world.another_worker("victim").await?;
        let mut jobs = Vec::new();
        for number in 0..UPLOADS {
            jobs.push(submit(&world, kill * UPLOADS + number).await?);
        }
        let mut of_victim = Vec::new();
        for job in &jobs {
            let job = until(&world, *job, |job| job.attempt > 0).await?;
            if job.worker.as_ref().is_some_and(|worker| *worker != survivor) {
                of_victim.push(job.id);
            }
        }
        victim.kill()?;
        let killed = OffsetDateTime::now_utc();
        for job in of_victim {
            let job = until(&world, job, |job| job.attempt > 1 || job.state.is_finished()).await?;
            // One that had been finished by then has no second attempt.
            if let Some(next) = job.attempts.get(1) {
                rescued.push((next.started_at - killed).try_into().unwrap_or_default());
            }
        }
        for job in jobs {
            until(&world, job, |job| job.state == JobState::Completed).await?;
        }
    }
    world.remove().await?;
    Ok(rescued)
}

async fn submit(world: &World, number: usize) -> anyhow::Result<JobId> {
    let form = Form::new("file", "me.jpg", &[jpeg(10_000)]);
    let request = world.upload("POST", "/api/v1/media", &form)(number);
    let reply = Connection::new(world.api_address).send(&request).await?;
    let body: serde_json::Value = serde_json::from_slice(&reply.body)?;
    let id = body["data"]["jobs"][0]["id"].as_str().with_context(|| format!("refused: {body}"))?;
    Ok(id.parse()?)
}

async fn until(world: &World, id: JobId, condition: impl Fn(&JobRecord) -> bool) -> anyhow::Result<JobRecord> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let job = world.store.find_job(id).await?.context("the job is gone")?;
        if condition(&job) {
            return Ok(job);
        }
        anyhow::ensure!(Instant::now() < deadline, "job {id} is still {}: {:?}", job.state, job.attempts);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
