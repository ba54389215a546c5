//! The exchanges and queues. All are durable, and whoever needs one first declares it. The same declaration again
//! changes nothing, a different one is [`Error::Differs`].
//!
//! | Setting of a job queue | Why |
//! |---|---|
//! | `x-queue-type: quorum` | replicated, synced to disk before the confirm, counts deliveries |
//! | `x-dead-letter-exchange` | the broker keeps for a person what it discards, which it does over the delivery limit alone |
//! | `x-overflow: reject-publish` | a full queue refuses the message; the job waits in the database |
//! | `x-max-length` | bounds the broker's memory and disk |
//! | `x-delivery-limit` | the default is none up to 3.13, and 20 from 4.0, where a crash counts for all of a consumer |
//!
//! Not `x-dead-letter-strategy: at-least-once`: all such queues of a node share one supervisor of dead-letter workers. A burst of
//! failing ones ends it, and from then on none of these queues can elect a leader ([rabbitmq-server#16652]). What a worker
//! cannot read it moves itself, confirmed, before it acknowledges ([`Delivery::settle`](crate::Delivery::settle)).
//!
//! A change of this table is a new [`GENERATION`](messages::topology::GENERATION) of queues.
//!
//! [rabbitmq-server#16652]: https://github.com/rabbitmq/rabbitmq-server/issues/16652

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use messages::topology::{DEAD_EXCHANGE, DEAD_QUEUE, EVENTS_EXCHANGE, JOBS_EXCHANGE, present};
use serde_json::{Map, Value};

use crate::Error;
use crate::error::{NOT_FOUND, reply_code};

/// Messages that a job queue holds. Further jobs wait in the database.
const MAX_LENGTH: i64 = 1_000_000;
/// How often the broker delivers a message. Workers count the crashes of a running job, which the broker cannot know,
/// and discard it at three. This only ends what would otherwise go round for ever. Some versions also count when a
/// person looks.
const DELIVERY_LIMIT: i64 = 100_000;

/// An exchange as it is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// Its name.
    pub name: &'static str,
    /// `direct`, `topic` or `fanout`.
    pub kind: &'static str,
}

impl Exchange {
    /// Where jobs are published.
    pub const JOBS: Self = Self { name: JOBS_EXCHANGE, kind: "direct" };
    /// Where events are published. Listeners bring their own queues.
    pub const EVENTS: Self = Self { name: EVENTS_EXCHANGE, kind: "topic" };
    /// Where dead letters are published.
    pub const DEAD: Self = Self { name: DEAD_EXCHANGE, kind: "fanout" };
}

/// A queue as it is declared, bound to one exchange.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// Its name at the broker.
    pub name: String,
    /// The exchange.
    pub exchange: &'static str,
    /// The binding's key.
    pub routing_key: String,
    arguments: FieldTable,
}

impl Queue {
    /// The present generation of a job queue.
    pub fn of_jobs(queue: &str) -> Self {
        let mut arguments = quorum();
        arguments.insert("x-dead-letter-exchange".into(), text(DEAD_EXCHANGE));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(MAX_LENGTH));
        Self { name: present(queue), exchange: JOBS_EXCHANGE, routing_key: queue.to_owned(), arguments }
    }

    /// The queue for dead letters.
    pub fn dead() -> Self {
        let (name, routing_key) = (DEAD_QUEUE.to_owned(), String::new());
        Self { name, exchange: DEAD_EXCHANGE, routing_key, arguments: quorum() }
    }

    /// Its arguments as the management pages show them.
    pub fn arguments(&self) -> Map<String, Value> {
        let shown = |value: &AMQPValue| match value {
            AMQPValue::LongLongInt(number) => Value::from(*number),
            AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into(),
            other => format!("{other:?}").into(),
        };
        self.arguments.inner().iter().map(|(name, value)| (name.to_string(), shown(value))).collect()
    }
}

/// Whether the broker returns a message that no queue takes. Nobody has to listen to events.
pub fn is_mandatory(exchange: &str) -> bool {
    exchange != EVENTS_EXCHANGE
}

/// Limit for every answer of the broker but confirms.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Declares what a job queue needs, and the queue.
pub(crate) async fn declare_job_queue(channel: &Channel, queue: &str) -> Result<(), Error> {
    declare_surroundings(channel).await?;
    declare_queue_of_jobs(channel, queue).await
}

/// Declares what all job queues need: their exchange, and the queue for dead letters.
pub(crate) async fn declare_surroundings(channel: &Channel) -> Result<(), Error> {
    declare_dead(channel).await?;
    declare_exchange(channel, Exchange::JOBS).await
}

/// Declares the present generation of a job queue, after [`declare_surroundings`].
pub(crate) async fn declare_queue_of_jobs(channel: &Channel, queue: &str) -> Result<(), Error> {
    declare_queue(channel, Queue::of_jobs(queue)).await
}

pub(crate) async fn declare_dead(channel: &Channel) -> Result<(), Error> {
    declare_exchange(channel, Exchange::DEAD).await?;
    declare_queue(channel, Queue::dead()).await
}

/// Declares the exchange for events.
pub(crate) async fn declare_events(channel: &Channel) -> Result<(), Error> {
    declare_exchange(channel, Exchange::EVENTS).await
}

/// Messages in a queue that no consumer holds. `None`: there is no such queue, and the channel is closed.
pub(crate) async fn depth(channel: &Channel, queue: &str) -> Result<Option<u32>, Error> {
    match passive(channel, queue).await? {
        Ok(found) => Ok(Some(found.message_count())),
        Err(error) if reply_code(&error) == Some(NOT_FOUND) => Ok(None),
        Err(error) => Err(Error::unavailable(error)),
    }
}

/// Asks for a queue without declaring it. An error closes the channel.
pub(crate) async fn passive(channel: &Channel, queue: &str) -> Result<lapin::Result<lapin::Queue>, Error> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    answer(channel.queue_declare(short(queue)?, options, FieldTable::default())).await
}

/// A name for the wire, where it may have 255 bytes (AMQP 0-9-1, section 4.2.5.3 "Strings").
pub(crate) fn short(text: &str) -> Result<ShortString, Error> {
    ShortString::try_new(text).map_err(|_| Error::unavailable("a name has more than 255 bytes"))
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

pub(crate) fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
    arguments
}

async fn declare_exchange(channel: &Channel, Exchange { name, kind }: Exchange) -> Result<(), Error> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    // Lapin has names for its own kinds too, and does not tell them.
    let kind = ExchangeKind::Custom(kind.to_owned());
    let declared = channel.exchange_declare(name.into(), kind, options, FieldTable::default());
    answer(declared).await?.map_err(|error| Error::declaring("exchange", name, &error))
}

/// Declares a queue and binds it.
async fn declare_queue(channel: &Channel, queue: Queue) -> Result<(), Error> {
    let Queue { name, exchange, routing_key, arguments } = queue;
    let declared = channel.queue_declare(short(&name)?, QueueDeclareOptions::durable(), arguments);
    answer(declared).await?.map_err(|error| Error::declaring("queue", &name, &error))?;
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    let bound = channel.queue_bind(short(&name)?, exchange.into(), short(&routing_key)?, options, none);
    answer(bound).await?.map_err(|error| Error::declaring("queue", &name, &error))
}

/// Bounds how long the broker may take to answer.
pub(crate) async fn answer<T>(asked: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(ANSWER_TIMEOUT, asked).await.map_err(|_| Error::no_answer())
}

/// As [`answer`], where every error means that the broker is not available.
pub(crate) async fn ask<T>(asked: impl Future<Output = lapin::Result<T>>) -> Result<T, Error> {
    answer(asked).await?.map_err(Error::unavailable)
}
