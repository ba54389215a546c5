//! The relay publishes what nobody else has: jobs that the API could not publish, retries whose time has come, jobs whose
//! worker is gone, jobs whose message the broker has lost, and events whose worker died before it could publish them.
//!
//! Every worker runs one. A job is taken by a conditional update, so one relay publishes it; if that relay dies, another
//! does a little later. A message too many is harmless: a claim finds the job claimed, and receivers know an event by its id.

use std::time::Duration;

use broker::{Admin, Publisher, PublisherStatus};
use crash_points::Point;
use futures_util::StreamExt;
use messages::{Envelope, EventMessage, Job, JobId, Trace};
use store::{JobRecord, Store};
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::publishing::Published;
use crate::retry::Waits;

/// Jobs taken at once: more than one turn publishes without pause.
const BATCH: u32 = 256;
/// Messages that wait for the broker's confirm at once.
const CONCURRENCY: usize = 32;
/// How long a broker may refuse a message before the job is left to the next turn.
const HICCUP: Duration = Duration::from_secs(3);
/// For how long other relays leave a taken job to us.
const HOLD: Duration = Duration::from_secs(15);

pub(crate) struct Relay {
    pub publisher: Publisher,
    pub published: Published,
    pub store: Store,
    /// Queues whose lost messages are ours to replace.
    pub queues: Vec<String>,
    pub every: Duration,
    pub look_for_lost_every: Duration,
    /// For questions to the broker.
    pub broker: broker::Config,
    pub looked_for_lost: Instant,
}

impl Relay {
    /// Relays until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while let Some(pause) = stop.run_until_cancelled(self.turn()).await {
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Publishes what is due, and says how long there is nothing more to do.
    async fn turn(&mut self) -> Duration {
        // Taking jobs that cannot be published would only delay them.
        self.publisher.connected().await;
        if self.publisher.status() != PublisherStatus::Connected {
            return self.every;
        }
        let published = async { Ok::<_, store::Error>(self.publish_due().await? + self.publish_events().await?) };
        match published.await {
            Ok(0) => self.until_next().await,
            Ok(_) => Duration::ZERO,
            Err(cause) => {
                tracing::debug!(%cause, "cannot look for due jobs and events now");
                self.every
            }
        }
    }

    async fn publish_events(&self) -> Result<usize, store::Error> {
        let due = self.store.events().take_unpublished(BATCH, HOLD).await?;
        if due.is_empty() {
            return Ok(0);
        }
        crash_points::reach(Point::EventsTaken);
        tracing::info!(count = due.len(), "publishing events that nobody has published in time");
        let found = due.len();
        let publish = |message: EventMessage| async move {
            match self.publisher.publish_event(&message).await {
                Ok(()) => self.published.note(message.id),
                Err(cause) => tracing::debug!(%cause, event = message.event.kind(), "cannot publish the event now"),
            }
        };
        futures_util::stream::iter(due).for_each_concurrent(CONCURRENCY, publish).await;
        Ok(found)
    }

    async fn publish_due(&mut self) -> Result<usize, store::Error> {
        let now = OffsetDateTime::now_utc();
        let mut due = self.store.jobs().take_due(now, BATCH, HOLD).await?;
        let abandoned = self.store.jobs().take_abandoned(now, BATCH, HOLD).await?;
        for job in &abandoned {
            tracing::warn!(job.id = %job.id, request_id = job.request_id, "its worker has let the lease run out: sending the job to another");
        }
        due.extend(abandoned);
        if self.looked_for_lost.elapsed() >= self.look_for_lost_every {
            self.looked_for_lost = Instant::now();
            for queue in &self.queues {
                due.extend(self.lost(now, queue).await?);
            }
        }
        let found = due.len();
        if found > 0 {
            crash_points::reach(Point::RelayTaken);
        }
        publish_all(&self.publisher, &self.store, due).await;
        Ok(found)
    }

    /// Jobs that have been queued for long although their queue is empty.
    async fn lost(&self, now: OffsetDateTime, queue: &str) -> Result<Vec<JobRecord>, store::Error> {
        // One is enough to ask the broker for; in a long queue all of them would be this old.
        let mut lost = self.store.jobs().take_lost(now, queue, 1, HOLD).await?;
        if lost.is_empty() {
            return Ok(lost);
        }
        match self.depth(queue).await {
            Ok(0) => {}
            Ok(_) => return Ok(Vec::new()),
            Err(cause) => {
                tracing::debug!(%cause, queue, "the broker does not say how long the queue is");
                return Ok(Vec::new());
            }
        }
        lost.extend(self.store.jobs().take_lost(now, queue, BATCH, HOLD).await?);
        tracing::warn!(queue, count = lost.len(), "queued for long, and their queue is empty: publishing them again");
        Ok(lost)
    }

    async fn depth(&self, queue: &str) -> Result<u32, broker::Error> {
        let admin = Admin::connect(&self.broker).await?;
        let depth = admin.queue_depth(queue).await;
        admin.close().await;
        Ok(depth?.unwrap_or(0))
    }

    async fn until_next(&self) -> Duration {
        match self.store.jobs().next_due_at().await {
            Ok(Some(at)) => Duration::try_from(at - OffsetDateTime::now_utc()).unwrap_or_default().min(self.every),
            Ok(None) | Err(_) => self.every,
        }
    }
}

/// Publishes jobs of a kind that we know, several at a time.
pub(crate) async fn publish_all(publisher: &Publisher, store: &Store, records: Vec<JobRecord>) {
    let jobs = records.into_iter().filter_map(|record| Some((record.id, record.job().ok()?, record.trace())));
    let published: Vec<JobId> = futures_util::stream::iter(jobs)
        .map(|(id, job, trace)| publish(publisher, id, job, trace))
        .buffer_unordered(CONCURRENCY)
        .filter_map(std::future::ready)
        .collect()
        .await;
    mark_queued(store, &published).await;
}

/// Publishes a job that something has just brought about.
pub(crate) async fn publish_record(publisher: &Publisher, store: &Store, record: &JobRecord) {
    match record.job() {
        Ok(job) => {
            let published = publish(publisher, record.id, job, record.trace()).await;
            mark_queued(store, published.as_slice()).await;
        }
        Err(cause) => {
            let request_id = record.request_id.as_deref();
            tracing::warn!(%cause, job.id = %record.id, request_id, "a job of a newer version is left to its workers");
        }
    }
}

/// Publishes a job, and answers with it if its message is at the broker. If not, a relay tries again.
async fn publish(publisher: &Publisher, id: JobId, job: Job, trace: Option<Trace>) -> Option<JobId> {
    let envelope = Envelope::new(id, job, trace);
    // A job that was taken is nobody else's for a while, so a hiccup of the broker is better waited for here.
    let mut waits = Waits::until(HICCUP);
    while let Err(cause) = publisher.publish(&envelope).await {
        if !waits.next().await {
            tracing::warn!(%cause, job.id = %id, request_id = envelope.request_id, "cannot publish the job now");
            return None;
        }
    }
    Some(id)
}

async fn mark_queued(store: &Store, jobs: &[JobId]) {
    if let Err(cause) = store.jobs().mark_queued(jobs).await {
        tracing::debug!(%cause, "published, which the database was not told");
    }
}
