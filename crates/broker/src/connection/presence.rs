//! Who is there: each worker's connection holds a queue that nobody else may touch, and that vanishes with it.
//!
//! A worker that is killed loses its connection at once, while the leases of its jobs run on for a while. Asking for its
//! queue tells the two apart: an exclusive queue of another connection answers 405 RESOURCE_LOCKED, a missing one 404.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use tokio::sync::watch;

use crate::Error;
use crate::connection::Link;
use crate::connection::socket::Connected;
use crate::error::{NOT_FOUND, reply_code};
use crate::topology::{answer, short};

const RESOURCE_LOCKED: u16 = 405;
/// After a reconnect the broker may not know yet that our old connection is dead, and refuses us our own queue.
const RETRY: Duration = Duration::from_secs(1);

/// Asks whether a worker's connection exists. Cloning is cheap.
#[derive(Clone)]
pub struct Presence {
    link: watch::Receiver<Link>,
}

impl Presence {
    pub(crate) fn new(link: watch::Receiver<Link>) -> Self {
        Self { link }
    }

    /// Whether the worker of that id is connected to the broker.
    ///
    /// `false` does not mean that it is dead: a worker that lost the broker works on. One whose connection alone was cut tries
    /// again within 200 ms; after the broker was gone it may take up to 15 s. So ask more than once before taking its job over, on
    /// a connection of ours that has lasted, or see that it has not renewed its lease; and let nothing but the fenced attempt
    /// decide who may record an outcome.
    /// `true` may be old news by two heartbeats.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: we are not connected ourselves and know nothing.
    pub async fn is_present(&self, worker: &str) -> Result<bool, Error> {
        let connection = match &*self.link.borrow() {
            Link::Up(connection) => Arc::clone(connection),
            Link::Down { why } => return Err(Error::unavailable(why)),
            Link::Closed => return Err(Error::unavailable("the consumer is closed")),
        };
        // The answer closes the channel, so it is one for this question only.
        let channel = answer(connection.amqp.create_channel()).await?.map_err(Error::unavailable)?;
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let asked = channel.queue_declare(short(&queue(worker))?, options, FieldTable::default());
        match answer(asked).await? {
            Ok(_) => Ok(true),
            Err(error) => match reply_code(&error) {
                Some(RESOURCE_LOCKED) => Ok(true),
                Some(NOT_FOUND) => Ok(false),
                _ => Err(Error::unavailable(error)),
            },
        }
    }
}

/// Announces a worker for as long as the connection lasts.
pub(crate) async fn announce(connection: Arc<Connected>, worker: String) {
    loop {
        match declare(&connection, &worker).await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "cannot announce this worker yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn declare(connection: &Connected, worker: &str) -> Result<(), Error> {
    let channel = answer(connection.amqp.create_channel()).await?.map_err(Error::unavailable)?;
    // A quorum queue, which may be the virtual host's default, cannot be exclusive.
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    let options = QueueDeclareOptions::exclusive().auto_delete();
    answer(channel.queue_declare(short(&queue(worker))?, options, arguments)).await?.map_err(Error::unavailable)?;
    Ok(())
}

fn queue(worker: &str) -> String {
    format!("worker.{worker}")
}
