//! Compares stored counts with a recount: of a sample from time to time, of a channel or of everybody on demand. A healthy system
//! is found without drift, whatever is being changed meanwhile; what is found is told and mended.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use store::{Checked, CounterKey, Drift, Pace, Store};

use super::adoption;
use crate::context::Context;
use crate::error::in_full;

const CONCURRENCY: usize = 4;
/// Keys read at once.
const PAGE: u32 = 1000;
/// After an adoption that could not go on.
const AGAIN: Duration = Duration::from_secs(5);

/// What comparing stored counts with recounts has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciled {
    pub checked: u64,
    /// Those that were wrong. They were corrected.
    pub drifted: u64,
}

impl Reconciled {
    fn add(&mut self, more: Self) {
        self.checked += more.checked;
        self.drifted += more.drifted;
    }
}

/// Adopts what chai-backend has left, and then compares samples for ever.
pub(crate) async fn run(context: Arc<Context>) {
    let pace = context.settings.pace();
    while let Err(cause) = adoption::adopt(&context.store, &context.worker, &pace).await {
        tracing::warn!(cause = in_full(&cause), "cannot take over subscriptions now");
        tokio::time::sleep(AGAIN).await;
    }
    loop {
        tokio::time::sleep(context.settings.reconcile_every).await;
        match sample(&context, &pace).await {
            Ok(reconciled) => tracing::debug!(?reconciled, "compared a sample with a recount"),
            Err(cause) => tracing::warn!(cause = in_full(&cause), "cannot compare counts now"),
        }
    }
}

async fn sample(context: &Context, pace: &Pace) -> Result<Reconciled, store::Error> {
    let keys = context.store.counters().sample(context.settings.reconcile_sample).await?;
    let reconciled = compare(&context.store, keys, pace).await?;
    context.reconciled.send_modify(|total| total.add(reconciled));
    Ok(reconciled)
}

pub(crate) async fn everybody(store: &Store, pace: &Pace) -> Result<Reconciled, store::Error> {
    let mut total = Reconciled::default();
    let mut after = None;
    loop {
        let keys = store.counters().after(after, PAGE).await?;
        let Some(last) = keys.last() else { return Ok(total) };
        after = Some(*last);
        total.add(compare(store, keys, pace).await?);
        tracing::info!(checked = total.checked, drifted = total.drifted, "comparing stored counts with a recount");
    }
}

pub(crate) async fn compare(store: &Store, keys: Vec<CounterKey>, pace: &Pace) -> Result<Reconciled, store::Error> {
    let mut checks = futures_util::stream::iter(keys)
        .map(|key| async move { store.counters().reconcile(&key, pace).await })
        .buffer_unordered(CONCURRENCY);
    let mut reconciled = Reconciled::default();
    let mut last = None;
    while let Some(checked) = checks.next().await {
        reconciled.checked += 1;
        if let Checked::Mended(drift) = checked? {
            reconciled.drifted += 1;
            tracing::error!(
                count = %drift.key, of = drift.title, stored = ?drift.stored, counted = ?drift.counted,
                "stored counts had drifted from a recount: mended"
            );
            last = Some(drift);
        }
    }
    note(store, reconciled, last.as_ref()).await;
    Ok(reconciled)
}

/// Notes it for whoever looks. The log tells in any case what was found.
async fn note(store: &Store, Reconciled { checked, drifted }: Reconciled, last: Option<&Drift>) {
    if let Err(cause) = store.counters().note_reconciled(checked, drifted, last).await {
        tracing::debug!(cause = in_full(&cause), "cannot note now what comparing counts has found");
    }
}
