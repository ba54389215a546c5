//! Turns intents into recounts: any number of intents of one count into one recount.
//!
//! Whoever changes something that is counted leaves an intent, and that is all. This part looks for counts that have intents, and
//! submits a job for each that nobody recounts and whose pause is over. The pause grows with what the last recount cost, so a
//! channel with a million subscribers may be changed thousands of times a second and is still counted every few seconds only.
//! Every worker runs one; an index lets one unfinished job of a count exist, whoever submits it.

use std::time::Duration;

use broker::{Publisher, PublisherStatus};
use futures_util::StreamExt;
use store::{JobRecord, Store};
use tokio_util::sync::CancellationToken;

use super::relay;
use crate::error::in_full;

/// Jobs that are submitted at the same time.
const CONCURRENCY: usize = 16;

pub(crate) struct Coalescer {
    pub publisher: Publisher,
    pub store: Store,
    pub every: Duration,
}

impl Coalescer {
    /// Looks until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            match stop.run_until_cancelled(self.turn()).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(cause)) => {
                    tracing::debug!(cause = in_full(&cause), "cannot look for changes that are counted now");
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(self.every)).await.is_none() {
                return;
            }
        }
    }

    async fn turn(&self) -> Result<(), store::Error> {
        // Intents wait as well as jobs do.
        self.publisher.connected().await;
        if self.publisher.status() != PublisherStatus::Connected {
            return Ok(());
        }
        let due = self.store.counters().due().await?;
        if due.is_empty() {
            return Ok(());
        }
        let submitted: Vec<Result<Option<JobRecord>, store::Error>> = futures_util::stream::iter(due)
            .map(|key| async move { self.store.counters().request(&key).await })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        // One that could not be submitted is due at the next turn.
        let submitted: Vec<JobRecord> = submitted.into_iter().filter_map(|job| job.ok().flatten()).collect();
        tracing::debug!(recounts = submitted.len(), "something has changed that is counted");
        relay::publish_all(&self.publisher, &self.store, submitted).await;
        Ok(())
    }
}
