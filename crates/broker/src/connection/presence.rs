//! Which workers are connected. Each worker's connection holds an exclusive queue, which ends with it.
//!
//! A killed worker loses its connection at once, but the leases of its jobs go on for a while. So rescue asks for the
//! queue: an exclusive queue of another connection answers 405 RESOURCE_LOCKED, a missing one 404.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use tokio::sync::watch;

use crate::Error;
use crate::connection::Link;
use crate::connection::socket::Connected;
use crate::error::{NOT_FOUND, reply_code};
use crate::topology::{ask, passive, short};

const RESOURCE_LOCKED: u16 = 405;
/// After a reconnect the broker may still know our old connection and refuse us the queue.
const RETRY: Duration = Duration::from_secs(1);

/// Asks whether a worker is connected. Cloning is cheap.
#[derive(Clone)]
pub struct Presence {
    pub(crate) link: watch::Receiver<Link>,
}

impl Presence {
    /// Whether the worker of that id is connected to the broker.
    ///
    /// `false` does not mean that it is dead. A worker that lost the broker goes on working; it reconnects within 200
    /// ms if only its connection was cut, within 15 s after an outage. Before taking its job over, ask again on a
    /// connection that has lasted, or check its lease. Only the fence of the attempt decides who records an outcome.
    /// `true` may be two heartbeats old. [`Error::Unavailable`]: we are not connected ourselves.
    pub async fn is_present(&self, worker: &str) -> Result<bool, Error> {
        let connection = self.link.borrow().connection().map_err(Error::Unavailable)?;
        // An error closes the channel, so this question gets its own.
        let channel = ask(connection.amqp.create_channel()).await?;
        match passive(&channel, &queue(worker)).await? {
            Ok(_) => Ok(true),
            Err(error) => match reply_code(&error) {
                Some(RESOURCE_LOCKED) => Ok(true),
                Some(NOT_FOUND) => Ok(false),
                _ => Err(Error::unavailable(error)),
            },
        }
    }
}

/// Declares a worker's queue, which lasts as long as the connection.
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
    let channel = ask(connection.amqp.create_channel()).await?;
    // A quorum queue, which may be the virtual host's default, cannot be exclusive.
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    let options = QueueDeclareOptions::exclusive().auto_delete();
    ask(channel.queue_declare(short(&queue(worker))?, options, arguments)).await?;
    Ok(())
}

fn queue(worker: &str) -> String {
    format!("worker.{worker}")
}
