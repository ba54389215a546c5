//! Turns intents into recounts: any number of intents of one count into one recount.
//!
//! Whoever changes something that is counted leaves an intent, and that is all. This part looks for counts that have intents, and
//! submits a job for each that nobody recounts and whose pause is over. The pause grows with what the last recount cost, so a
//! channel with a million subscribers may be changed thousands of times a second and is still counted every few seconds only.
//! Every worker runs one; an index lets one unfinished job of a count exist, whoever submits it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use store::Due;
use tokio::time::Instant;

use super::publishing;
use crate::context::Context;
use crate::error::in_full;

const CONCURRENCY: usize = 16;
/// How long after the last change it looks often. Looking as often where nobody changes anything would be a third of what an idle
/// worker asks of the database.
const AWAKE: Duration = Duration::from_secs(10);
/// So much less often it looks then.
const DROWSY: u32 = 4;

pub(crate) async fn run(context: Arc<Context>) {
    let every = context.settings.look_for_changes_every;
    let mut last = Instant::now();
    loop {
        match turn(&context).await {
            Ok(true) => last = Instant::now(),
            Ok(false) => {}
            Err(cause) => tracing::debug!(cause = in_full(&cause), "cannot look for changes that are counted now"),
        }
        tokio::time::sleep(if last.elapsed() < AWAKE { every } else { every * DROWSY }).await;
    }
}

/// Whether anything had changed.
async fn turn(context: &Context) -> Result<bool, store::Error> {
    // Intents wait as well as jobs do.
    if !publishing::is_possible(context).await {
        return Ok(false);
    }
    let due = context.store.counters().due().await?;
    if due.is_empty() {
        return Ok(false);
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
    Ok(true)
}
