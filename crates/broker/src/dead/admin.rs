//! Looking into queues, for a person or a test.

use crate::connection::socket::{Connected, connect};
use crate::dead::DeadQueue;
use crate::topology::{answer, depth};
use crate::{Config, DeadLetter, Error, connection};

/// A connection for questions. Unlike the others it does not come back by itself: make it, ask, close it.
pub struct Admin {
    connection: Connected,
}

impl Admin {
    /// Connects, once.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Refused`].
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        Ok(Self { connection: connect(config, "admin").await? })
    }

    /// Messages in a queue that nobody has been sent. `None`: there is no such queue.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn queue_depth(&self, queue: &str) -> Result<Option<u32>, Error> {
        let channel = answer(self.connection.amqp.create_channel()).await?.map_err(Error::unavailable)?;
        depth(&channel, queue).await
    }

    /// Begins to go through the dead letters, the oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn dead_queue(&self) -> Result<DeadQueue, Error> {
        let channel = answer(self.connection.amqp.create_channel()).await?.map_err(Error::unavailable)?;
        Ok(DeadQueue::new(channel))
    }

    /// The oldest dead letters, up to `limit`. They stay where they are.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let mut queue = self.dead_queue().await?;
        let mut letters = Vec::new();
        while letters.len() < limit
            && let Some(letter) = queue.next().await?
        {
            letters.push(letter);
        }
        queue.close().await?;
        Ok(letters)
    }

    /// Closes the connection.
    pub async fn close(self) {
        connection::close(&self.connection).await;
    }
}
