//! Looking into queues, for a person or a test.

use lapin::options::{BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use messages::topology::DEAD_QUEUE;

use crate::delivery::{QUEUE, REASON, header};
use crate::error::reply_code;
use crate::socket::{Connected, connect};
use crate::topology::{answer, short};
use crate::{Config, Error, connection};

const NOT_FOUND: u16 = 404;

/// A connection for questions. Unlike the others it does not come back by itself: make it, ask, close it.
pub struct Admin {
    connection: Connected,
}

/// A message that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why it is there: ours if we know, else the broker's (`rejected`, `delivery_limit`, ...).
    pub reason: String,
    /// The queue it came from.
    pub queue: String,
    /// The kind that its sender wrote on the outside, if any.
    pub kind: Option<String>,
    /// Its sender's name for it, if any.
    pub message_id: Option<String>,
    /// The body; perhaps not an envelope.
    pub body: Vec<u8>,
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
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        match answer(channel.queue_declare(short(queue)?, options, FieldTable::default())).await? {
            Ok(found) => Ok(Some(found.message_count())),
            Err(error) if reply_code(&error) == Some(NOT_FOUND) => Ok(None),
            Err(error) => Err(Error::unavailable(error)),
        }
    }

    /// The oldest dead letters, up to `limit`. They stay where they are.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let channel = answer(self.connection.amqp.create_channel()).await?.map_err(Error::unavailable)?;
        let mut letters = Vec::new();
        let mut last = None;
        while letters.len() < limit {
            match answer(channel.basic_get(DEAD_QUEUE.into(), BasicGetOptions::default())).await? {
                Ok(None) => break,
                Ok(Some(found)) => {
                    letters.push(dead_letter(&found.delivery));
                    last = Some(found.delivery.acker);
                }
                // Nothing ever died here.
                Err(error) if reply_code(&error) == Some(NOT_FOUND) => break,
                Err(error) => return Err(Error::unavailable(error)),
            }
        }
        if let Some(last) = last {
            let all = BasicNackOptions { multiple: true, requeue: true };
            answer(last.nack(all)).await?.map_err(Error::unavailable)?;
            // Nobody confirms a nack; a closed channel has had it done.
            answer(channel.close(200, "done".into())).await?.map_err(Error::unavailable)?;
        }
        Ok(letters)
    }

    /// Closes the connection.
    pub async fn close(self) {
        connection::close(&self.connection).await;
    }
}

fn dead_letter(found: &lapin::message::Delivery) -> DeadLetter {
    let properties = &found.properties;
    let text = |names: [&str; 2]| {
        let value = names.into_iter().find_map(|name| header(properties, name));
        value.and_then(AMQPValue::as_long_string).map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned())
    };
    DeadLetter {
        reason: text([REASON, "x-first-death-reason"]).unwrap_or_default(),
        queue: text([QUEUE, "x-first-death-queue"]).unwrap_or_default(),
        kind: properties.kind().as_ref().map(ToString::to_string),
        message_id: properties.message_id().as_ref().map(ToString::to_string),
        body: found.data.clone(),
    }
}
