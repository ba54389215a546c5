//! Which jobs run beside which.
//!
//! A crash counts against every job that was running, because nobody knows whose doing it was. A job that has one crash left
//! therefore runs alone: only then is the next crash its own, and no job is discarded for what another one did. That costs a pause
//! in which this worker runs nothing else, so it is not done after the first crash, when all of them are wanted back quickly.

use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How long a delivery waits for its turn before it is requeued: what runs may run for very long, and RabbitMQ takes a
/// consumer for dead that holds a delivery for half an hour.
const TURN: Duration = Duration::from_secs(2 * 60);

/// The jobs that run in this process. A job keeps its place from before its claim until its outcome is recorded.
#[derive(Debug, Default)]
pub(crate) struct Isolation {
    // Fair: who waits to be alone is not overtaken by newcomers.
    running: RwLock<()>,
}

#[derive(Debug)]
pub(crate) enum Place<'a> {
    Shared(#[expect(dead_code, reason = "held, not used")] RwLockReadGuard<'a, ()>),
    Exclusive(#[expect(dead_code, reason = "held, not used")] RwLockWriteGuard<'a, ()>),
}

impl Isolation {
    /// Waits for a place. `None`: it took too long.
    pub(crate) async fn place(&self, alone: bool) -> Option<Place<'_>> {
        let place = async {
            if alone { Place::Exclusive(self.running.write().await) } else { Place::Shared(self.running.read().await) }
        };
        tokio::time::timeout(TURN, place).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_must_be_alone_waits_for_all_others_and_all_others_wait_for_it() {
        let isolation = Isolation::default();
        let (one, other) = (isolation.place(false).await, isolation.place(false).await);
        assert!(one.is_some() && other.is_some());
        let mut alone = Box::pin(isolation.place(true));
        assert!(tokio::time::timeout(TURN / 4, &mut alone).await.is_err());
        let mut newcomer = Box::pin(isolation.place(false));
        assert!(tokio::time::timeout(TURN / 4, &mut newcomer).await.is_err(), "it does not overtake");
        drop((one, other));
        let alone = alone.await.expect("its turn");
        assert!(matches!(alone, Place::Exclusive(_)));
        drop(alone);
        assert!(matches!(newcomer.await, Some(Place::Shared(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let isolation = Isolation::default();
        let _long = isolation.place(false).await;
        assert!(isolation.place(true).await.is_none());
    }
}
