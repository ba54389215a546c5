//! Watches the database: makes its indexes once it is there, and lets nothing be consumed while it is not, or takes no writes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::context::Context;
use crate::error::in_full;

const EVERY: Duration = Duration::from_secs(1);

/// Finds out whether the database takes writes, and what time it is by its clock, until the worker ends.
pub(crate) async fn watch(context: Arc<Context>) {
    let store = &context.store;
    let mut indexed = false;
    let mut reported = None;
    loop {
        let asked = async { if indexed { store.takes_writes().await } else { store.ensure_indexes().await } };
        // Whoever takes no writes may tell the time all the same; whoever does not answer tells it at a later turn.
        let (answer, _) = tokio::join!(asked, store.ping());
        indexed |= answer.is_ok();
        let is_up = answer.is_ok();
        if reported != Some(is_up) {
            match &answer {
                Ok(()) => tracing::info!("mongodb takes writes"),
                Err(cause) => tracing::warn!(cause = in_full(cause), "waiting for mongodb (MONGODB_URI)"),
            }
            reported = Some(is_up);
        }
        context.database.send_replace(is_up);
        if context.stop.now.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}

pub(crate) async fn is_up(database: &watch::Sender<bool>) {
    wait_for(database, true).await;
}

/// Waits until the database has not answered for a while without a break.
pub(crate) async fn is_down_for(database: &watch::Sender<bool>, time: Duration) {
    loop {
        wait_for(database, false).await;
        if tokio::time::timeout(time, wait_for(database, true)).await.is_err() {
            return;
        }
    }
}

async fn wait_for(database: &watch::Sender<bool>, state: bool) {
    // Fails only without a sender.
    let _ = database.subscribe().wait_for(|up| *up == state).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_short_absence_does_not_count_as_down() {
        let up = watch::Sender::new(true);
        let database = up.clone();
        let patience = Duration::from_secs(60);
        let down = tokio::spawn(async move { is_down_for(&database, patience).await });
        up.send_replace(false);
        tokio::time::sleep(patience / 2).await;
        up.send_replace(true);
        tokio::time::sleep(patience).await;
        assert!(!down.is_finished());
        up.send_replace(false);
        tokio::time::sleep(patience * 2).await;
        assert!(down.is_finished());
    }
}
