//! Looks into queues, for a person or a test.

use messages::topology::{DEAD_QUEUE, former, present};

use crate::connection::socket::{Connected, connect};
use crate::dead::DeadQueue;
use crate::topology::{ask, depth};
use crate::{Config, DeadLetter, Error, connection};

/// A connection for questions. It does not reconnect: connect, ask, close.
pub struct Admin {
    connection: Connected,
}

impl Admin {
    /// Connects, once.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        Ok(Self { connection: connect(config, "admin").await? })
    }

    /// Messages in a job queue that no consumer holds, former generations included. `None`: there is no such queue.
    pub async fn queue_depth(&self, queue: &str) -> Result<Option<u32>, Error> {
        let mut sum = None;
        for name in [vec![present(queue)], former(queue)].concat() {
            let count = self.depth(&name).await?;
            sum = sum.map_or(count, |sum: u32| Some(sum.saturating_add(count.unwrap_or(0))));
        }
        Ok(sum)
    }

    /// Dead letters that nobody looks at. `None`: nothing ever died here.
    pub async fn dead_depth(&self) -> Result<Option<u32>, Error> {
        self.depth(DEAD_QUEUE).await
    }

    async fn depth(&self, name: &str) -> Result<Option<u32>, Error> {
        let channel = ask(self.connection.amqp.create_channel()).await?;
        depth(&channel, name).await
    }

    /// Walks the dead letters, the oldest first.
    pub async fn dead_queue(&self) -> Result<DeadQueue, Error> {
        let channel = ask(self.connection.amqp.create_channel()).await?;
        Ok(DeadQueue { channel, current: None, left: None })
    }

    /// The oldest dead letters, up to `limit`. They stay.
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
