//! Turns intents into recounts: any number of intents of one count into one recount.
//!
//! Whoever changes something that is counted leaves an intent, and that is all. This part looks for counts that have intents, and
//! submits a job for each that nobody recounts and whose pause is over. The pause grows with what the last recount cost, so a
//! channel with a million subscribers may be changed thousands of times a second and is still counted every few seconds only.
//! Every worker runs one; an index lets one unfinished job of a count exist, whoever submits it.

use std::sync::Arc;

use futures_util::StreamExt;
use store::Due;

use super::publishing;
use crate::context::Context;
use crate::error::in_full;

const CONCURRENCY: usize = 16;

pub(crate) async fn run(context: Arc<Context>) {
    loop {
        if let Err(cause) = turn(&context).await {
            tracing::debug!(cause = in_full(&cause), "cannot look for changes that are counted now");
        }
        tokio::time::sleep(context.settings.look_for_changes_every).await;
    }
}

async fn turn(context: &Context) -> Result<(), store::Error> {
    // Intents wait as well as jobs do.
    if !publishing::is_possible(context).await {
        return Ok(());
    }
    let due = context.store.counters().due().await?;
    if due.is_empty() {
        return Ok(());
    }
    // One that could not be submitted is due at the next turn.
    let submitted: Vec<Due> = futures_util::stream::iter(due)
        .map(|key| async move { context.store.counters().request(&key).await.ok()??.try_into().ok() })
        .buffer_unordered(CONCURRENCY)
        .filter_map(std::future::ready)
        .collect()
        .await;
    tracing::debug!(recounts = submitted.len(), "something has changed that is counted");
    publishing::publish(context, submitted).await;
    Ok(())
}
