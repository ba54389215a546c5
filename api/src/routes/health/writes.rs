//! Whether the database takes writes. One that takes none may answer everything else: while it is locked for a backup, say.

use std::time::Duration;

use store::Store;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often to ask.
const EVERY: Duration = Duration::from_secs(1);
/// For how long writes may fail or hang before the database counts as down: a new primary is found within that.
const PATIENCE: Duration = Duration::from_secs(5);

/// When the database last took a write, as far as we know.
#[derive(Debug)]
pub(crate) struct Writes(watch::Sender<Instant>);

impl Writes {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Instant::now()))
    }

    /// `false`: they have failed or hung for [`PATIENCE`].
    pub(crate) fn are_taken(&self) -> bool {
        self.0.borrow().elapsed() < PATIENCE + EVERY
    }

    /// Asks, until it is dropped.
    pub(crate) async fn watch(&self, store: &Store) {
        let mut is_reported = false;
        loop {
            match store.takes_writes().await {
                Ok(()) => {
                    self.0.send_replace(Instant::now());
                    if is_reported {
                        tracing::info!("mongodb takes writes again");
                    }
                    is_reported = false;
                }
                Err(error) if !is_reported && !self.are_taken() => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "mongodb takes no writes");
                    is_reported = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hiccup_is_none_and_the_next_write_ends_it() {
        let writes = Writes::new();
        tokio::time::sleep(PATIENCE).await;
        assert!(writes.are_taken());
        tokio::time::sleep(EVERY).await;
        assert!(!writes.are_taken());
        writes.0.send_replace(Instant::now());
        assert!(writes.are_taken());
    }
}
