//! Uploads at a steady pace while something else is measured.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use messages::JobId;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use super::PATIENCE;
use crate::load::{Connection, Latencies, Request};

/// 50 a second.
const EVERY: Duration = Duration::from_millis(20);

/// Uploads that go on until they are stopped.
pub struct Pace {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Paced>,
}

/// What became of them.
#[derive(Debug, Default)]
pub struct Paced {
    /// Answer times.
    pub latencies: Latencies,
    /// The jobs of those that were accepted, each with the number of its request.
    pub jobs: Vec<(usize, JobId)>,
    /// Those that were refused, or whose connection broke.
    pub failed: usize,
}

/// Connections that are kept alive between requests.
#[derive(Default)]
struct Idle(Mutex<Vec<Connection>>);

impl Pace {
    /// Starts 50 uploads a second; `next` makes the n-th request.
    pub fn start(address: SocketAddr, next: impl Fn(usize) -> Request + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(run(address, next, stopped)) }
    }

    /// Stops, and waits for the answers that are still to come.
    pub async fn stop(self) -> anyhow::Result<Paced> {
        // It has ended by itself only if it panicked, which is told below.
        let _ended = self.stop.send(());
        tokio::time::timeout(PATIENCE, self.task).await.context("uploads are not answered")?.context("uploads")
    }
}

async fn run(
    address: SocketAddr,
    next: impl Fn(usize) -> Request + Send + 'static,
    mut stopped: oneshot::Receiver<()>,
) -> Paced {
    let mut clock = interval(EVERY);
    // A machine that is busy for a moment is not to be flooded afterwards.
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let idle = Arc::<Idle>::default();
    let (mut tasks, mut paced) = (JoinSet::new(), Paced::default());
    for number in 0.. {
        tokio::select! {
            _ = &mut stopped => break,
            _ = clock.tick() => {}
        }
        let (request, idle) = (next(number), Arc::clone(&idle));
        tasks.spawn(async move { (number, upload(address, &idle, &request).await) });
        while let Some(done) = tasks.try_join_next() {
            paced.note(done);
        }
    }
    while let Some(done) = tasks.join_next().await {
        paced.note(done);
    }
    paced
}

async fn upload(address: SocketAddr, idle: &Idle, request: &Request) -> anyhow::Result<(Duration, JobId)> {
    let kept = idle.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut connection = kept.unwrap_or_else(|| Connection::new(address));
    let reply = connection.send(request).await?;
    idle.0.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    let body: serde_json::Value = serde_json::from_slice(&reply.body)?;
    let id = body["data"]["jobs"][0]["id"].as_str().with_context(|| format!("refused: {body}"))?;
    Ok((reply.took, id.parse()?))
}

impl Paced {
    fn note(&mut self, done: Result<(usize, anyhow::Result<(Duration, JobId)>), tokio::task::JoinError>) {
        match done {
            Ok((number, Ok((took, job)))) => {
                self.latencies.push(took);
                self.jobs.push((number, job));
            }
            Ok((_, Err(error))) => {
                if self.failed == 0 {
                    tracing::warn!("an upload failed: {error:#}");
                }
                self.failed += 1;
            }
            Err(_) => self.failed += 1,
        }
    }
}
