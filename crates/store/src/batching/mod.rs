//! Work that comes at the same time, done together. Nothing here knows a family of documents.

mod reads;
mod rounds;
mod sharing;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

pub(crate) use reads::{BatchedReads, Brings, Lookup, one_of};
pub(crate) use rounds::Rounds;
pub(crate) use sharing::{Shared, Sharing};

/// How long a batch may hold up others. One of it may wait for what a dead program has locked.
const HELD_UP: Duration = Duration::from_millis(500);

/// Does what is requested in batches: one takes all that has come by the time that it has its turn. Nothing waits for company: when
/// nothing is under way a request is a batch of its own. Ends with the last sender.
fn start<R: Send + 'static, F: Future<Output = ()> + Send + 'static>(
    turns: usize,
    largest: usize,
    work: impl Fn(Vec<R>) -> F + Send + 'static,
) -> mpsc::UnboundedSender<R> {
    let (requests, mut waiting) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let turns = Arc::new(Semaphore::new(turns));
        loop {
            // First a turn and then who waits: whoever comes until there is one goes along. The semaphore is never closed.
            let Ok(turn) = turns.clone().acquire_owned().await else { return };
            let mut batch = Vec::new();
            if waiting.recv_many(&mut batch, largest).await == 0 {
                return;
            }
            let work = work(batch);
            tokio::spawn(async move {
                let mut work = pin!(work);
                if timeout(HELD_UP, &mut work).await.is_err() {
                    drop(turn);
                    work.await;
                }
            });
        }
    });
    requests
}
