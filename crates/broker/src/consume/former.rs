//! Retires the former generations of a queue. Workers of an older version may still consume from them, for the length of a deploy.

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
                Ok(None) => {}
                Ok(Some(Found::Used)) => kept.push(name),
                Ok(Some(Found::Unused)) => {
                    let deleted = delete(&connection, &name).await;
                    // Whatever the broker counted: without a leader that is nothing, and what is not acknowledged never counts. Also
                    // without an answer: it may be gone, or go yet.
                    board.replaced(&queue);
                    match deleted {
                        Ok(()) => tracing::info!(queue = name, "deleted a queue of an earlier version"),
                        Err(error) => {
                            tracing::warn!(queue = name, %error, "cannot delete a queue of an earlier version now");
                            kept.push(name);
                        }
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
