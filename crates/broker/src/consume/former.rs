//! Retires the former generations of a queue. Workers of an older version may still consume from them, for the length of a deploy.

use std::sync::Arc;
use std::time::Duration;

use lapin::types::FieldTable;
use messages::topology::{JOBS_EXCHANGE, former};

use crate::Error;
use crate::connection::socket::Connected;
use crate::consume::board::Board;
use crate::consume::replacement::{delete, open};
use crate::error::{NOT_FOUND, reply_code};
use crate::topology::{answer, passive, short};

const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A program of an older version may declare its queue again, long after it was deleted. Each look for a queue that is gone is an
/// error in the broker's log.
const LOOK_AGAIN_EVERY: u32 = 60;

/// Keeps new messages from the former queues, and deletes those that nobody consumes from. The jobs of messages that go with one are
/// published again, to the present queue.
///
/// A program of an older version binds its queue again whenever it connects, so this goes on as long as the connection.
pub(super) async fn retire(connection: Arc<Connected>, queue: String, board: Arc<Board>) {
    let mut left = Vec::new();
    for turn in 0_u32.. {
        if turn.is_multiple_of(LOOK_AGAIN_EVERY) {
            left = former(&queue);
        }
        for name in former(&queue) {
            if let Err(error) = unbind(&connection, &name, &queue).await {
                tracing::debug!(queue = name, %error, "cannot unbind a former queue now");
            }
        }
        let mut kept = Vec::new();
        for name in left {
            match delete_unused(&connection, &name).await {
                Ok(None) => {}
                Ok(Some(Found::Deleted)) => {
                    tracing::info!(queue = name, "deleted a queue of an earlier version");
                    // Whatever the broker counted: without a leader that is nothing, and what is not acknowledged never counts.
                    board.replaced(&queue);
                }
                Ok(Some(Found::Used)) => kept.push(name),
                Err(error) => {
                    tracing::debug!(queue = name, %error, "cannot look for a former queue now");
                    kept.push(name);
                }
            }
        }
        left = kept;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

enum Found {
    Used,
    Deleted,
}

async fn delete_unused(connection: &Connected, name: &str) -> Result<Option<Found>, Error> {
    match passive(&open(connection).await?, name).await? {
        Ok(found) if found.consumer_count() > 0 => Ok(Some(Found::Used)),
        Ok(_) => {
            delete(connection, name).await?;
            Ok(Some(Found::Deleted))
        }
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
