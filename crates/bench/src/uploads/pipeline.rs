//! From accepted to ready at a steady 50 uploads a second, beside the sum of the bare parts at the same pace.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use messages::JobId;
use store::JobState;
use testkit::{Services, jpeg};
use tokio::task::JoinSet;

use super::parts;
use crate::load::{Connection, Latencies};
use crate::system::{Form, System};
use crate::table::{Row, milliseconds};

pub const EVERY: Duration = Duration::from_millis(20);
pub const COUNT: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn measure(root: &Path, services: &Services) -> anyhow::Result<Vec<Row>> {
    let picture = jpeg(200 * 1024);
    let system = System::start(root, services, COUNT).await?;
    let ours = accepted_to_ready(&system, &picture).await?;
    let bare = parts::measure(&system, services, &picture).await?;
    system.remove().await?;
    for (part, latencies) in &bare {
        tracing::debug!(part, p50 = ?latencies.percentile(0.5), p99 = ?latencies.percentile(0.99), "bare part");
    }
    let sum: Duration = bare.iter().map(|(_, latencies)| latencies.percentile(0.5)).sum();
    let row = |what, share, bound, factor: f64| {
        let time = ours.percentile(share);
        let ratio = time.as_secs_f64() / sum.as_secs_f64();
        Row {
            what,
            ours: milliseconds(time),
            yardstick: milliseconds(sum),
            ratio: format!("{ratio:.2}"),
            bound,
            met: ratio <= factor,
        }
    };
    Ok(vec![
        row("accepted to ready at 50/s, p50, against the bare parts", 0.5, "<= 2", 2.0),
        row("accepted to ready at 50/s, p99, against the same", 0.99, "<= 5", 5.0),
    ])
}

/// From the transaction that accepted each upload to the one that completed it, by the database's own record.
async fn accepted_to_ready(system: &System, picture: &Bytes) -> anyhow::Result<Latencies> {
    let form = Form::new("avatar", "me.jpg", std::slice::from_ref(picture));
    let avatar = system.upload("PATCH", "/api/v1/users/avatar", &form);
    let mut clock = tokio::time::interval(EVERY);
    let mut tasks = JoinSet::new();
    for number in 0..COUNT {
        clock.tick().await;
        let (avatar, address) = (avatar.clone(), system.api_address);
        tasks.spawn(async move {
            let reply = Connection::new(address).send(&avatar(number)).await?;
            let body: serde_json::Value = serde_json::from_slice(&reply.body)?;
            let id = body["data"]["jobs"][0]["id"].as_str().with_context(|| format!("refused: {body}"))?;
            anyhow::Ok(id.parse::<JobId>()?)
        });
    }
    let mut latencies = Latencies::default();
    while let Some(job) = tasks.join_next().await {
        latencies.push(finished_after(system, job??).await?);
    }
    Ok(latencies)
}

async fn finished_after(system: &System, id: JobId) -> anyhow::Result<Duration> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let job = system.store.jobs().find(id).await?.context("the job is gone")?;
        if let Some(finished_at) = job.finished_at {
            anyhow::ensure!(job.state == JobState::Completed, "job {id} is {}: {:?}", job.state, job.reason);
            return Ok((finished_at - job.created_at).unsigned_abs());
        }
        anyhow::ensure!(Instant::now() < deadline, "job {id} is still {}", job.state);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
