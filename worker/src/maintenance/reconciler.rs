//! Compares stored counts with a recount: of a sample from time to time, of a channel or of everybody on demand. A healthy system
//! is found without drift, whatever is being changed meanwhile; what is found is told and mended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use store::{Checked, CounterKey, Pace, Store};
use tokio_util::sync::CancellationToken;

use super::adoption;
use crate::error::in_full;

/// Counts compared at the same time.
const CONCURRENCY: usize = 4;
/// Keys read at once.
const PAGE: u32 = 1000;
/// After an adoption that could not go on.
const AGAIN: Duration = Duration::from_secs(5);

/// What comparing stored counts with recounts has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    /// Counts that were compared.
    pub checked: u64,
    /// Those that were wrong. They were corrected.
    pub drifted: u64,
}

/// The same, added up while the worker runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    numbers: Arc<(AtomicU64, AtomicU64)>,
}

impl Tally {
    pub(crate) fn read(&self) -> Reconciled {
        Reconciled { checked: self.numbers.0.load(Ordering::Relaxed), drifted: self.numbers.1.load(Ordering::Relaxed) }
    }

    fn add(&self, reconciled: Reconciled) {
        self.numbers.0.fetch_add(reconciled.checked, Ordering::Relaxed);
        self.numbers.1.fetch_add(reconciled.drifted, Ordering::Relaxed);
    }
}

pub(crate) struct Reconciler {
    pub store: Store,
    /// Names this worker as the adopter.
    pub worker: String,
    pub pace: Pace,
    pub every: Duration,
    pub sample: u32,
    pub tally: Tally,
}

impl Reconciler {
    /// Takes over what the system before Steep has left, and then compares samples until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        while let Some(adopted) = stop.run_until_cancelled(adoption::adopt(&self.store, &self.worker, &self.pace)).await
        {
            let Err(cause) = adopted else { break };
            tracing::warn!(cause = in_full(&cause), "cannot take over subscriptions now");
            if stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_none() {
                return;
            }
        }
        while stop.run_until_cancelled(tokio::time::sleep(self.every)).await.is_some() {
            match stop.run_until_cancelled(self.sample()).await {
                None => return,
                Some(Ok(reconciled)) => tracing::debug!(?reconciled, "compared a sample with a recount"),
                Some(Err(cause)) => tracing::warn!(cause = in_full(&cause), "cannot compare counts now"),
            }
        }
    }

    async fn sample(&self) -> Result<Reconciled, store::Error> {
        let keys = self.store.counters().sample(self.sample).await?;
        let reconciled = compare(&self.store, keys, &self.pace).await?;
        self.tally.add(reconciled);
        Ok(reconciled)
    }
}

/// Compares every count.
pub(crate) async fn everybody(store: &Store, pace: &Pace) -> Result<Reconciled, store::Error> {
    let mut total = Reconciled::default();
    let mut after = None;
    loop {
        let keys = store.counters().after(after, PAGE).await?;
        let Some(last) = keys.last() else { return Ok(total) };
        after = Some(*last);
        let Reconciled { checked, drifted } = compare(store, keys, pace).await?;
        total = Reconciled { checked: total.checked + checked, drifted: total.drifted + drifted };
        tracing::info!(checked = total.checked, drifted = total.drifted, "comparing stored counts with a recount");
    }
}

/// Compares these counts.
pub(crate) async fn compare(store: &Store, keys: Vec<CounterKey>, pace: &Pace) -> Result<Reconciled, store::Error> {
    let mut checks = futures_util::stream::iter(keys)
        .map(|key| async move { store.counters().reconcile(&key, pace).await })
        .buffer_unordered(CONCURRENCY);
    let mut reconciled = Reconciled::default();
    while let Some(checked) = checks.next().await {
        reconciled.checked += 1;
        if let Checked::Mended(drift) = checked? {
            reconciled.drifted += 1;
            tracing::error!(
                count = %drift.key, of = drift.title, stored = ?drift.stored, counted = ?drift.counted,
                "stored counts had drifted from a recount: mended"
            );
        }
    }
    Ok(reconciled)
}
