//! Watches the database: makes its indexes once it is there, and lets nothing be consumed while it is not, or takes no writes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::context::Context;
use crate::error::in_full;

const EVERY: Duration = Duration::from_secs(1);
/// For how long writes may fail or hang before readiness and the log say so: a new primary is found within that.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the database did when it was asked last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Database {
    /// Whether it took a write.
    up: bool,
    /// When it last took one.
    wrote: Option<Instant>,
}

impl Database {
    /// `false`: it never took a write, or they have failed or hung for [`PATIENCE`].
    pub(crate) fn takes_writes(&self) -> bool {
        self.wrote.is_some_and(|at| at.elapsed() < PATIENCE + EVERY)
    }

    fn answered(&mut self, up: bool) {
        self.up = up;
        if up {
            self.wrote = Some(Instant::now());
        }
    }
}

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
        context.database.send_modify(|database| database.answered(answer.is_ok()));
        let takes_writes = context.database.borrow().takes_writes();
        if reported != Some(takes_writes) {
            match &answer {
                Ok(()) => tracing::info!("mongodb takes writes"),
                Err(cause) => tracing::warn!(cause = in_full(cause), "waiting for mongodb (MONGODB_URI)"),
            }
            reported = Some(takes_writes);
        }
        if context.stop.now.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}

pub(crate) async fn is_up(database: &watch::Sender<Database>) {
    wait_for(database, true).await;
}

/// Waits until the database has not answered for a while without a break.
pub(crate) async fn is_down_for(database: &watch::Sender<Database>, time: Duration) {
    loop {
        wait_for(database, false).await;
        if tokio::time::timeout(time, wait_for(database, true)).await.is_err() {
            return;
        }
    }
}

async fn wait_for(database: &watch::Sender<Database>, state: bool) {
    // Fails only without a sender.
    let _ = database.subscribe().wait_for(|database| database.up == state).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_short_absence_does_not_count_as_down() {
        let up = watch::Sender::new(Database::default());
        let answers = |one: bool| up.send_modify(|database| database.answered(one));
        answers(true);
        let database = up.clone();
        let patience = Duration::from_secs(60);
        let down = tokio::spawn(async move { is_down_for(&database, patience).await });
        answers(false);
        tokio::time::sleep(patience / 2).await;
        answers(true);
        tokio::time::sleep(patience).await;
        assert!(!down.is_finished());
        answers(false);
        tokio::time::sleep(patience * 2).await;
        assert!(down.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_fails_or_hangs_is_a_hiccup_and_writes_that_do_so_for_long_are_none() {
        let mut database = Database::default();
        database.answered(false);
        assert!(!database.takes_writes(), "it never took one");
        database.answered(true);
        tokio::time::sleep(PATIENCE).await;
        database.answered(false);
        assert!(database.takes_writes() && !database.up);
        tokio::time::sleep(EVERY).await;
        assert!(!database.takes_writes());
        database.answered(true);
        assert!(database.takes_writes());
    }
}
