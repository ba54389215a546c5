//! `cargo xtask bench rescue`: how soon an upload runs again elsewhere after its worker was killed.
//!
//! Two workers share uploads that take their time at the media host. One of them is killed (SIGKILL) while it has some of
//! them under way, and replaced; the other one has been connected for long. What counts is the time from the kill to the
//! beginning of the next attempt, by the database's record. With a number, that many kills; with `live`, no kill but an upload that
//! lasts ten minutes, which nobody is to rescue from its worker.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use messages::JobId;
use serde_json::json;
use store::{JobRecord, JobState};
use testkit::{Services, jpeg, mp4};
use time::OffsetDateTime;

use crate::load::{Connection, Latencies};
use crate::system::{Form, System};
use crate::table::{Row, milliseconds};

const KILLS: usize = 40;
/// Uploads under way at each kill, of which about half are the victim's.
const UPLOADS: usize = 6;
/// What an upload lasts.
const SLOW: Duration = Duration::from_secs(2);
/// A worker whose connection is younger than this is more careful before it takes a job over.
const SETTLED: Duration = Duration::from_secs(21);
const PATIENCE: Duration = Duration::from_secs(60);
/// A film that goes in four chunks, and how slowly the media host takes it.
const FILM: usize = 80_000_000;
const FILM_BYTES_PER_SECOND: usize = 130_000;
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// The kills, or the upload of ten minutes.
pub async fn measure(root: &Path, services: &Services, words: &[String]) -> anyhow::Result<Vec<Row>> {
    match words.first().map(String::as_str) {
        Some("live") => Ok(vec![live(root, services).await?]),
        kills => kill(root, services, kills).await,
    }
}

async fn kill(root: &Path, services: &Services, kills: Option<&str>) -> anyhow::Result<Vec<Row>> {
    let kills = kills.map_or(Ok(KILLS), str::parse).context("name a number of kills, or `live`")?;
    let rescued = times_to_rescue(root, services, kills).await?;
    println!("{} uploads rescued after {kills} kills", rescued.count());
    let row = |what, share, bound, limit: Duration| {
        let time = rescued.percentile(share);
        let (yardstick, ratio) = (String::new(), String::new());
        Row { what, ours: milliseconds(time), yardstick, ratio, bound, met: time <= limit }
    };
    let (second, more) = (Duration::from_secs(1), Duration::from_secs(5));
    Ok(vec![
        row("from SIGKILL to running elsewhere, p50", 0.5, "<= 1 s", second),
        row("p99", 0.99, "<= 1 s", second),
        row("max", 1.0, "<= 5 s", more),
    ])
}

async fn live(root: &Path, services: &Services) -> anyhow::Result<Row> {
    let system = System::start(root, services, 1).await?;
    let slow = json!({ "effect": "slow_read", "bytes_per_second": FILM_BYTES_PER_SECOND, "action": "upload" });
    let faults = format!("{}/__admin/faults", system.media.url);
    reqwest::Client::new().post(faults).json(&slow).send().await?.error_for_status()?;
    // Somebody who could take it over.
    let other = system.another_worker("other").await?;
    let job = submit_file(&system, 0, "film.mp4", mp4(FILM)).await?;
    let job = until_within(TEN_MINUTES * 2, &system, job, |job| job.state.is_finished()).await?;
    let lasted = job.attempts.first().and_then(|attempt| Some(attempt.ended_at? - attempt.started_at));
    let lasted: Duration = lasted.context("an attempt that has ended")?.try_into()?;
    drop(other);
    system.remove().await?;
    let is_done = job.state == JobState::Completed && (job.attempt, job.crashes, job.failures) == (1, 0, 0);
    Ok(Row {
        what: "an upload of ten minutes, beside an idle worker",
        ours: format!("{} after {:.0} s", job.state, lasted.as_secs_f64()),
        yardstick: format!("{} attempt, {} crashes", job.attempt, job.crashes),
        ratio: String::new(),
        bound: "1 attempt",
        met: is_done && lasted >= TEN_MINUTES,
    })
}

async fn times_to_rescue(root: &Path, services: &Services, kills: usize) -> anyhow::Result<Latencies> {
    let system = System::start(root, services, 16).await?;
    let delay = json!({ "effect": "delay", "ms": SLOW.as_millis() as u64, "action": "upload" });
    let faults = format!("{}/__admin/faults", system.media.url);
    reqwest::Client::new().post(faults).json(&delay).send().await?.error_for_status()?;
    let first = submit(&system, 0).await?;
    let survivor = until(&system, first, |job| job.state == JobState::Completed).await?;
    let survivor = survivor.attempts.first().context("an attempt")?.worker.clone();
    tokio::time::sleep(SETTLED).await;

    let mut rescued = Latencies::default();
    for kill in 0..kills {
        let mut victim = system.another_worker("victim").await?;
        let mut jobs = Vec::new();
        for number in 0..UPLOADS {
            jobs.push(submit(&system, kill * UPLOADS + number).await?);
        }
        let mut of_victim = Vec::new();
        for job in &jobs {
            let job = until(&system, *job, |job| job.attempt > 0).await?;
            if job.worker.as_ref().is_some_and(|worker| *worker != survivor) {
                of_victim.push(job.id);
            }
        }
        let killed = OffsetDateTime::now_utc();
        victim.kill();
        for job in of_victim {
            let job = until(&system, job, |job| job.attempt > 1 || job.state.is_finished()).await?;
            // One that had been finished by then has no second attempt.
            if let Some(next) = job.attempts.get(1) {
                rescued.push((next.started_at - killed).try_into().unwrap_or_default());
            }
        }
        for job in jobs {
            until(&system, job, |job| job.state == JobState::Completed).await?;
        }
    }
    system.remove().await?;
    Ok(rescued)
}

async fn submit(system: &System, number: usize) -> anyhow::Result<JobId> {
    submit_file(system, number, "me.jpg", jpeg(10_000)).await
}

async fn submit_file(system: &System, number: usize, name: &str, file: Bytes) -> anyhow::Result<JobId> {
    let form = Form::new("file", name, &[file]);
    let request = system.upload("POST", "/api/v1/media", &form)(number);
    let reply = Connection::new(system.api_address).send(&request).await?;
    let body: serde_json::Value = serde_json::from_slice(&reply.body)?;
    let id = body["data"]["jobs"][0]["id"].as_str().with_context(|| format!("refused: {body}"))?;
    Ok(id.parse()?)
}

async fn until(system: &System, id: JobId, condition: impl Fn(&JobRecord) -> bool) -> anyhow::Result<JobRecord> {
    until_within(PATIENCE, system, id, condition).await
}

async fn until_within(
    patience: Duration,
    system: &System,
    id: JobId,
    condition: impl Fn(&JobRecord) -> bool,
) -> anyhow::Result<JobRecord> {
    let deadline = Instant::now() + patience;
    loop {
        let job = system.store.jobs().find(id).await?.context("the job is gone")?;
        if condition(&job) {
            return Ok(job);
        }
        anyhow::ensure!(Instant::now() < deadline, "job {id} is still {}: {:?}", job.state, job.attempts);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
