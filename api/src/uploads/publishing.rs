//! Publishes the jobs of accepted requests, after the answer.
//!
//! A job is durable before it comes here, and the relay publishes what is still `pending` after a moment. So nothing
//! here retries: without room or without a broker, the job is left to the relay.

use std::time::Duration;

use broker::Publisher;
use messages::{Envelope, JobId};
use store::{JobRecord, Store};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::Uploads;

/// Jobs that may wait to be published by this process.
const WAITING: usize = 1024;
/// Jobs that are published at the same time.
const AT_ONCE: usize = 32;
/// How often published jobs are marked as queued, all in one statement. The relay waits longer than that.
const MARK_EVERY: Duration = Duration::from_millis(50);

/// A job, and a span of the request that it came with: what happens to the job here is logged in it.
#[derive(Debug)]
pub(crate) struct Enqueued {
    envelope: Envelope,
    request: Span,
}

/// The two ends: one for the handlers, one for [`run`].
pub(crate) fn channel() -> (mpsc::Sender<Enqueued>, mpsc::Receiver<Enqueued>) {
    mpsc::channel(WAITING)
}

impl Uploads {
    /// Enqueues new jobs. Never waits.
    pub(crate) fn publish(&self, jobs: &[JobRecord]) {
        for record in jobs {
            let job = match record.job() {
                Ok(job) => job,
                Err(error) => {
                    tracing::error!(job.id = %record.id, %error, "a new job cannot be read back");
                    continue;
                }
            };
            let envelope = Envelope::new(record.id, job, record.trace());
            // Not the present one: that ends with the answer.
            let (id, traceparent) = (envelope.request_id.as_deref(), envelope.traceparent.as_deref());
            let request = tracing::error_span!(parent: None, "request", id, traceparent);
            if self.publishing.try_send(Enqueued { envelope, request }).is_err() {
                tracing::debug!(job.id = %record.id, "too many jobs to publish; left to the relay");
            }
        }
    }
}

/// Publishes what is enqueued until `stop`, and then what was enqueued before it.
pub(crate) async fn run(
    store: Store,
    publisher: Publisher,
    mut jobs: mpsc::Receiver<Enqueued>,
    stop: CancellationToken,
) {
    let mut publishing = JoinSet::new();
    let mut published = Vec::new();
    let mut marking = JoinSet::new();
    let mut ticks = tokio::time::interval(MARK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(job) = publishing.join_next(), if !publishing.is_empty() => published.extend(job.ok().flatten()),
            Some(_) = marking.join_next(), if !marking.is_empty() => {}
            _ = ticks.tick(), if marking.is_empty() && !published.is_empty() => {
                marking.spawn(mark(store.clone(), std::mem::take(&mut published)));
            }
            job = jobs.recv(), if publishing.len() < AT_ONCE => match job {
                Some(Enqueued { envelope, request }) => {
                    publishing.spawn(publish(publisher.clone(), envelope).instrument(request));
                }
                None => break,
            },
            () = stop.cancelled(), if !jobs.is_closed() => jobs.close(),
        }
    }
    while let Some(job) = publishing.join_next().await {
        published.extend(job.ok().flatten());
    }
    mark(store, published).await;
    while marking.join_next().await.is_some() {}
}

/// The job, if its message is at the broker.
async fn publish(publisher: Publisher, envelope: Envelope) -> Option<JobId> {
    let job = envelope.job_id;
    match publisher.publish(&envelope).await {
        Ok(()) => Some(job),
        Err(error) => {
            tracing::debug!(job.id = %job, error = &error as &dyn std::error::Error, "not published; left to the relay");
            None
        }
    }
}

async fn mark(store: Store, published: Vec<JobId>) {
    if let Err(error) = store.jobs().mark_new_queued(&published).await {
        let error = &error as &dyn std::error::Error;
        tracing::debug!(jobs = ?published, error, "published, but not marked as queued");
    }
}
