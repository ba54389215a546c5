//! One arrival of a message, settled once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::AMQPValue;
use lapin::{Acker, BasicProperties, Channel};
use messages::topology::{DEAD_EXCHANGE, DEAD_QUEUE};

use crate::error::settled;
use crate::headers::{DIED_AT, PERSISTENT, QUEUE, REASON, identified, traced};
use crate::publish::Outgoing;
use crate::topology::answer;
use crate::{Error, Publisher};

/// A reason is for people, and a header has to fit into a frame.
const REASON_CHARS: usize = 1000;
/// How long a message waits whose dead letter could not be published. It would go round without a pause.
const DEAD_AGAIN: Duration = Duration::from_secs(1);

/// A message as it arrived.
///
/// Settle it once its outcome is durable. One that is dropped keeps its place of the prefetch until the connection
/// closes. Then the broker delivers it again, to any worker.
#[must_use = "the broker delivers an unsettled message again only when the connection closes"]
pub struct Delivery {
    /// Perhaps not an envelope.
    pub body: Vec<u8>,
    /// The queue it came from, without its generation.
    pub queue: String,
    /// Whether it was delivered before and not settled. A first delivery may still be a second message for the same
    /// job.
    pub redelivered: bool,
    pub(super) properties: BasicProperties,
    pub(super) acker: Acker,
    /// The acker alone would not keep it open.
    pub(super) _channel: Channel,
    /// How many deliveries of the channel are unsettled. One that is dropped still counts.
    pub(super) unsettled: Arc<AtomicUsize>,
    /// Sends dead letters.
    pub(super) publisher: Publisher,
}

/// How a delivery is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The outcome is durable, whatever it is.
    Ack,
    /// Deliver it again at once, here or elsewhere. Delays are `runAt` in the database.
    Requeue,
    /// A person has to look at it.
    DeadLetter {
        /// Why, so that a person can act on it.
        reason: String,
    },
}

/// Tells whether a delivery is unsettled, as long as the broker knows of it.
#[derive(Debug, Clone)]
pub struct Hold(Acker);

impl Hold {
    /// `false` once it is settled, or its channel is gone and the broker delivers the message again.
    pub fn is_unsettled(&self) -> bool {
        self.0.usable()
    }
}

impl Delivery {
    /// What tells others whether this delivery is unsettled.
    pub fn hold(&self) -> Hold {
        Hold(self.acker.clone())
    }

    /// The sender's id for the message, if any.
    pub fn message_id(&self) -> Option<&str> {
        self.properties.message_id().as_ref().map(|id| id.as_str())
    }

    /// The kind in its properties, if any.
    pub fn kind(&self) -> Option<&str> {
        self.properties.kind().as_ref().map(|kind| kind.as_str())
    }

    /// Settles the delivery.
    ///
    /// The broker's own dead-lettering keeps no reason and confirms nothing. So a dead letter is published with its reason,
    /// confirmed, and then the delivery is acknowledged; a crash in between leaves the letter twice. If it cannot be
    /// published, the message is requeued after a second. [`Error::SettleLost`]: its connection is gone, and the broker
    /// delivers the message again.
    pub async fn settle(self, with: Disposition) -> Result<(), Error> {
        let requeue = BasicNackOptions { requeue: true, multiple: false };
        let answer = match with {
            Disposition::Ack => answer(self.acker.ack(BasicAckOptions::default())).await,
            Disposition::Requeue => answer(self.acker.nack(requeue)).await,
            Disposition::DeadLetter { reason } => match self.publish_dead(&reason).await {
                Ok(()) => answer(self.acker.ack(BasicAckOptions::default())).await,
                Err(error) => {
                    tracing::warn!(queue = self.queue, reason, %error, "cannot publish the dead letter now");
                    tokio::time::sleep(DEAD_AGAIN).await;
                    answer(self.acker.nack(requeue)).await
                }
            },
        };
        settled(answer)?;
        self.unsettled.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// Whether its connection is gone, so that it is delivered again and working on it is in vain.
    pub(crate) fn is_stale(&self) -> bool {
        !self.acker.usable()
    }

    async fn publish_dead(&self, reason: &str) -> Result<(), Error> {
        let reason: String = reason.chars().take(REASON_CHARS).collect();
        let mut headers = traced(&self.properties);
        headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
        headers.insert(QUEUE.into(), AMQPValue::LongString(self.queue.as_str().into()));
        if let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            headers.insert(DIED_AT.into(), AMQPValue::Timestamp(now.as_secs()));
        }
        let properties = identified(&self.properties).with_headers(headers).with_delivery_mode(PERSISTENT);
        let letter = Outgoing { exchange: DEAD_EXCHANGE, queue: DEAD_QUEUE, body: &self.body, properties };
        self.publisher.send(letter).await
    }
}
