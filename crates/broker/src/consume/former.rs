//! Retires the former generations of a queue. Workers of an older version may still consume from them, for the length of a deploy.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lapin::types::FieldTable;
use messages::topology::{JOBS_EXCHANGE, former};

use crate::Error;
use crate::connection::socket::Connected;
use crate::consume::board::Board;
use crate::consume::replacement::{delete, open};
use crate::error::{NOT_FOUND, reply_code};
use crate::topology::{answer, passive, short};

const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Keeps new messages from the former queues, and deletes those that nobody consumes from. The jobs of messages that go with one are
/// published again, to the present queue.
///
/// A program of an older version declares and binds its queue again whenever it connects, so this goes on as long as the
/// connection. `again` is how often to look for a queue that is gone: each look is an error in the broker's log.
pub(super) async fn retire(connection: Arc<Connected>, queue: String, board: Arc<Board>, again: Duration) {
    let (mut left, mut looked) = (former(&queue), Instant::now());
    // The broker has not said whether they are deleted.
    let mut unanswered = BTreeSet::new();
    loop {
        if looked.elapsed() >= again {
            (left, looked) = (former(&queue), Instant::now());
        }
        for name in former(&queue) {
            if let Err(error) = unbind(&connection, &name, &queue).await {
                tracing::debug!(queue = name, %error, "cannot unbind a former queue now");
            }
        }
        let mut kept = Vec::new();
        for name in left {
            match find(&connection, &name).await {
                Ok(None) if unanswered.remove(&name) => gone(&board, &queue, &name),
                Ok(None) => {}
                Ok(Some(Found::Used)) => kept.push(name),
                Ok(Some(Found::Unused)) => {
                    let (connection, board) = (Arc::clone(&connection), Arc::clone(&board));
                    let (queue, former) = (queue.clone(), name.clone());
                    // A task of its own: what the broker deletes is noted, even if the connection ends meanwhile.
                    let deleting = tokio::spawn(async move {
                        delete(&connection, &former).await?;
                        gone(&board, &queue, &former);
                        Ok::<_, Error>(())
                    });
                    if let Ok(Err(error)) = deleting.await {
                        tracing::warn!(queue = name, %error, "cannot delete a queue of an earlier version now");
                        if matches!(error, Error::DeletionUnknown) {
                            unanswered.insert(name.clone());
                        }
                        kept.push(name);
                    }
                }
                Err(error) => {
                    tracing::debug!(queue = name, %error, "cannot look for a former queue now");
                    kept.push(name);
                }
            }
        }
        left = kept;
        tokio::time::sleep(LOOK_EVERY.min(again)).await;
    }
}

/// Its jobs are to be published again, whatever the broker counted: without a leader that is nothing, and what is not acknowledged
/// never counts.
fn gone(board: &Board, queue: &str, former: &str) {
    tracing::info!(queue = former, "deleted a queue of an earlier version");
    board.replaced(queue);
}

enum Found {
    Used,
    Unused,
}

async fn find(connection: &Connected, name: &str) -> Result<Option<Found>, Error> {
    match passive(&open(connection).await?, name).await? {
        Ok(found) => Ok(Some(if found.consumer_count() > 0 { Found::Used } else { Found::Unused })),
        Err(error) if reply_code(&error) == Some(NOT_FOUND) => Ok(None),
        Err(error) => Err(Error::unavailable(error)),
    }
}

/// No binding, or no queue, is as good.
async fn unbind(connection: &Connected, name: &str, key: &str) -> Result<(), Error> {
    let channel = open(connection).await?;
    let unbound = channel.queue_unbind(short(name)?, JOBS_EXCHANGE.into(), short(key)?, FieldTable::default());
    match answer(unbound).await? {
        Err(error) if reply_code(&error) != Some(NOT_FOUND) => Err(Error::unavailable(error)),
        _ => Ok(()),
    }
}
