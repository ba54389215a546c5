//! Telling the workers, after the answer.
//!
//! A job is durable before it comes here, and the relay publishes whatever is still `pending` after a moment. So nothing
//! here retries: when there is no room or no broker, the job is left to the relay.

use broker::Publisher;
use messages::Envelope;
use store::{JobRecord, Store};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Jobs that may wait to be published by this process.
const WAITING: usize = 1024;
/// Jobs that are published at the same time.
const AT_ONCE: usize = 32;

/// Where accepted jobs are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Publishing {
    jobs: mpsc::Sender<Envelope>,
}

/// The two ends: one for the handlers, one for [`run`].
pub(crate) fn channel() -> (Publishing, mpsc::Receiver<Envelope>) {
    let (jobs, receiver) = mpsc::channel(WAITING);
    (Publishing { jobs }, receiver)
}

impl Publishing {
    /// Hands in new jobs. Never waits.
    pub(crate) fn publish(&self, jobs: &[JobRecord]) {
        for record in jobs {
            let job = match record.job() {
                Ok(job) => job,
                Err(error) => {
                    tracing::error!(job.id = %record.id, %error, "a new job cannot be read back");
                    continue;
                }
            };
            let envelope = Envelope::new(record.id, job, record.traceparent.clone());
            if self.jobs.try_send(envelope).is_err() {
                tracing::debug!(job.id = %record.id, "too many jobs to publish; left to the relay");
            }
        }
    }
}

/// Publishes what is handed in until `stop`, and then what was handed in before it.
pub(crate) async fn run(
    store: Store,
    publisher: Publisher,
    mut jobs: mpsc::Receiver<Envelope>,
    stop: CancellationToken,
) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = running.join_next(), if !running.is_empty() => {}
            job = jobs.recv(), if running.len() < AT_ONCE => match job {
                Some(envelope) => drop(running.spawn(publish(store.clone(), publisher.clone(), envelope))),
                None => break,
            },
            () = stop.cancelled(), if !jobs.is_closed() => jobs.close(),
        }
    }
    while running.join_next().await.is_some() {}
}

async fn publish(store: Store, publisher: Publisher, envelope: Envelope) {
    let job = envelope.job_id;
    if let Err(error) = publisher.publish(&envelope).await {
        tracing::debug!(job.id = %job, error = &error as &dyn std::error::Error, "not published; left to the relay");
        return;
    }
    if let Err(error) = store.mark_queued(job).await {
        tracing::debug!(job.id = %job, error = &error as &dyn std::error::Error, "published, but not marked as queued");
    }
}
