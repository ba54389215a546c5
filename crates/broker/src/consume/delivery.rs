//! One arrival of a message, settled once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, BasicProperties, Channel};
use messages::topology::{DEAD_EXCHANGE, DEAD_QUEUE};

use crate::headers::{DIED_AT, QUEUE, REASON, header, identified};
use crate::publish::{Outgoing, PERSISTENT};
use crate::topology::answer;
use crate::{Error, Publisher};

/// A reason is for reading, and a header has to fit into a frame.
const REASON_CHARS: usize = 1000;

/// A message as it arrived.
///
/// Settle it once its outcome is durable. One that is dropped stays with this consumer, taking a place of its prefetch,
/// until the connection closes; then the broker delivers it again, to anyone.
#[must_use = "a delivery that is not settled comes again only when the connection closes"]
pub struct Delivery {
    /// The message's body; perhaps not an envelope.
    pub body: Vec<u8>,
    /// The queue it came from.
    pub queue: String,
    /// Whether the broker delivered it before, to somebody who did not settle it. A first delivery may still be a second
    /// message for the same job.
    pub redelivered: bool,
    /// Deliveries before this one that were not settled, as far as the broker counted.
    pub delivery_count: u64,
    properties: BasicProperties,
    acker: Acker,
    source: Source,
}

/// What a delivery needs of where it came from.
pub(crate) struct Source {
    /// Keeps the channel open, which the acker does not.
    #[allow(dead_code, reason = "held, not used")]
    pub(crate) channel: Channel,
    /// How many deliveries of the channel are unsettled. One that is dropped stays so.
    pub(crate) unsettled: Arc<AtomicUsize>,
    /// Sends dead letters.
    pub(crate) publisher: Publisher,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The outcome is durable, whatever it is: the message is done.
    Ack,
    /// Deliver it again at once, here or elsewhere. A delay is not the broker's business but `runAt` in the database.
    Requeue,
    /// A person has to look at it.
    DeadLetter {
        /// Why, in words that a person can act on.
        reason: String,
    },
}

impl Delivery {
    pub(crate) fn new(arrived: lapin::message::Delivery, queue: &str, source: Source) -> Self {
        // Quorum queues say how often they delivered it before (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling).
        let count = header(&arrived.properties, "x-delivery-count");
        Self {
            body: arrived.data,
            queue: queue.to_owned(),
            redelivered: arrived.redelivered,
            delivery_count: count.and_then(AMQPValue::as_long_long_int).and_then(|n| n.try_into().ok()).unwrap_or(0),
            properties: arrived.properties,
            acker: arrived.acker,
            source,
        }
    }

    /// The sender's name for the message, if it gave one.
    pub fn message_id(&self) -> Option<&str> {
        self.properties.message_id().as_ref().map(|id| id.as_str())
    }

    /// The kind that the sender wrote on the outside, if any.
    pub fn kind(&self) -> Option<&str> {
        self.properties.kind().as_ref().map(|kind| kind.as_str())
    }

    /// Tells the broker what becomes of the message.
    ///
    /// A dead letter is published to the dead-letter exchange with its reason, confirmed, and then acknowledged, because the
    /// broker's own dead-lettering keeps no reason. A crash in between leaves the dead letter twice. If it cannot be
    /// published, the broker is asked to dead-letter it without the reason, which is then only in the log: a message that
    /// nobody can work on must not come back.
    ///
    /// # Errors
    ///
    /// [`Error::SettleLost`]: the connection it came over is gone, and the broker will deliver the message again. Whoever
    /// takes it then finds the outcome in the database.
    pub async fn settle(self, with: Disposition) -> Result<(), Error> {
        let reject = BasicNackOptions { requeue: false, multiple: false };
        let settled = match with {
            Disposition::Ack => answer(self.acker.ack(BasicAckOptions::default())).await,
            Disposition::Requeue => answer(self.acker.nack(BasicNackOptions { requeue: true, ..reject })).await,
            Disposition::DeadLetter { reason } => match self.publish_dead(&reason).await {
                Ok(()) => answer(self.acker.ack(BasicAckOptions::default())).await,
                Err(error) => {
                    tracing::warn!(queue = self.queue, reason, %error, "the dead letter loses its reason");
                    answer(self.acker.nack(reject)).await
                }
            },
        };
        match settled {
            Ok(Ok(true)) => {
                self.source.unsettled.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            }
            // lapin: the channel that the delivery came over is no more.
            Ok(Ok(false)) => Err(Error::SettleLost { why: "the connection was lost meanwhile".to_owned() }),
            Ok(Err(error)) => Err(Error::SettleLost { why: error.to_string() }),
            Err(error) => Err(Error::SettleLost { why: error.to_string() }),
        }
    }

    /// Whether its connection is gone, so that it will come again and working on it is in vain.
    pub(crate) fn is_stale(&self) -> bool {
        !self.acker.usable()
    }

    async fn publish_dead(&self, reason: &str) -> Result<(), Error> {
        let reason: String = reason.chars().take(REASON_CHARS).collect();
        let mut headers = FieldTable::default();
        headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
        headers.insert(QUEUE.into(), AMQPValue::LongString(self.queue.as_str().into()));
        if let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            headers.insert(DIED_AT.into(), AMQPValue::Timestamp(now.as_secs()));
        }
        if let Some(traceparent) = header(&self.properties, "traceparent") {
            headers.insert("traceparent".into(), traceparent.clone());
        }
        let properties = identified(&self.properties).with_headers(headers).with_delivery_mode(PERSISTENT);
        let (queue, body) = (DEAD_QUEUE, self.body.as_slice());
        self.source.publisher.send(Outgoing { exchange: DEAD_EXCHANGE, queue, mandatory: true, body, properties }).await
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("queue", &self.queue)
            .field("message_id", &self.message_id())
            .field("redelivered", &self.redelivered)
            .finish_non_exhaustive()
    }
}
