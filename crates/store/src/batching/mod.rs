//! Work that comes at the same time, done together. Nothing here knows a family of documents.

mod reads;
mod rounds;
mod sharing;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

pub(crate) use reads::{BatchedReads, Brings, Lookup, one_of};
pub(crate) use rounds::Rounds;
pub(crate) use sharing::{Shared, Sharing};

/// How long a batch may hold up others. One of it may wait for what a dead program has locked.
const HELD_UP: Duration = Duration::from_millis(500);

/// So many are worth a turn beside others. A transaction of one costs the server as much as one of many: where 32 jobs are under
/// way and each turn took what there was, six of ten transactions were of one job.
const WORTH: usize = 8;

/// How long fewer than that wait for others. Who comes alone beside a batch that hangs must not pay for it.
const COMPANY: Duration = Duration::from_millis(20);

/// Does what is requested in batches: one takes all that has come by the time that it has its turn. When nothing is under way a
/// request is a batch of its own, and waits for nobody. While something is, a batch waits until it is [`WORTH`] a turn of its own,
/// the others have ended, or it has waited for [`COMPANY`]. Ends with the last sender.
fn start<R: Send + 'static, F: Future<Output = ()> + Send + 'static>(
    turns: usize,
    largest: usize,
    work: impl Fn(Vec<R>) -> F + Send + 'static,
) -> mpsc::UnboundedSender<R> {
    let (requests, mut waiting) = mpsc::unbounded_channel();
    let all_others = u32::try_from(turns.saturating_sub(1)).unwrap_or(u32::MAX);
    tokio::spawn(async move {
        let turns = Arc::new(Semaphore::new(turns));
        loop {
            // First a turn and then who waits: whoever comes until there is one goes along. The semaphore is never closed.
            let Ok(turn) = turns.clone().acquire_owned().await else { return };
            let mut batch = Vec::new();
            if waiting.recv_many(&mut batch, largest).await == 0 {
                return;
            }
            let mut late = pin!(sleep(COMPANY));
            while batch.len() < WORTH.min(largest) {
                let room = largest - batch.len();
                tokio::select! {
                    biased;
                    // Nobody else has a turn.
                    _ = turns.acquire_many(all_others) => break,
                    () = &mut late => break,
                    more = waiting.recv_many(&mut batch, room) => if more == 0 { break },
                }
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

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    type Batch = (Vec<u32>, oneshot::Sender<()>);

    /// Batches as they begin, each with what ends it.
    fn started(turns: usize) -> (mpsc::UnboundedSender<u32>, mpsc::UnboundedReceiver<Batch>) {
        let (begins, begun) = mpsc::unbounded_channel();
        let requests = start(turns, 32, move |batch| {
            let (end, ended) = oneshot::channel();
            let _ = begins.send((batch, end));
            async move { drop(ended.await) }
        });
        (requests, begun)
    }

    fn send(requests: &mpsc::UnboundedSender<u32>, numbers: std::ops::Range<u32>) {
        for number in numbers {
            requests.send(number).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn beside_another_a_batch_begins_once_it_is_worth_a_turn() {
        let (requests, mut begun) = started(2);
        send(&requests, 0..1);
        let (first, _under_way) = begun.recv().await.unwrap();
        assert_eq!(first, [0]);
        send(&requests, 1..8);
        assert!(timeout(COMPANY / 2, begun.recv()).await.is_err());
        send(&requests, 8..9);
        let (second, _) = timeout(COMPANY / 4, begun.recv()).await.unwrap().unwrap();
        assert_eq!(second, Vec::from_iter(1..9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_batch_begins_when_the_other_has_ended_or_takes_long() {
        let (requests, mut begun) = started(2);
        send(&requests, 0..1);
        let (_, end) = begun.recv().await.unwrap();
        send(&requests, 1..2);
        assert!(timeout(COMPANY / 2, begun.recv()).await.is_err());
        end.send(()).unwrap();
        let (second, _takes_long) = timeout(COMPANY / 4, begun.recv()).await.unwrap().unwrap();
        assert_eq!(second, [1]);
        send(&requests, 2..3);
        let (third, _) = timeout(COMPANY * 2, begun.recv()).await.unwrap().unwrap();
        assert_eq!(third, [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_held_up_gives_its_turn_to_others() {
        let (requests, mut begun) = started(1);
        send(&requests, 0..1);
        let (_, _held_up) = begun.recv().await.unwrap();
        send(&requests, 1..2);
        assert!(timeout(HELD_UP / 2, begun.recv()).await.is_err());
        let (second, _) = timeout(HELD_UP, begun.recv()).await.unwrap().unwrap();
        assert_eq!(second, [1]);
    }
}
