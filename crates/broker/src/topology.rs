//! What we declare. Everything is durable and declared by whoever needs it first; an equal declaration changes nothing, a
//! different one is an error in words.
//!
//! | Setting of a job queue | Why |
//! |---|---|
//! | `x-queue-type: quorum` | replicated, synced to disk before a confirm, and counts deliveries |
//! | `x-dead-letter-exchange` | what the broker gives up on is kept for a person instead of dropped |
//! | `x-dead-letter-strategy: at-least-once` | the broker's own dead-lettering is confirmed; it silently falls back to at-most-once unless the next two are set (<https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering>) |
//! | `x-overflow: reject-publish` | a full queue says no to the publisher; nothing is lost, the job waits in the database |
//! | `x-max-length` | bounds the broker's memory and disk |
//! | `x-delivery-limit` | set, because its default is none up to 3.13 and 20 from 4.0, where one crash counts against every message that the consumer held |

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use messages::topology::{DEAD_EXCHANGE, DEAD_QUEUE, EVENTS_EXCHANGE, JOBS_EXCHANGE};

use crate::Error;
use crate::error::{NOT_FOUND, reply_code};

/// Messages of one job queue that the broker keeps. The rest waits in the database.
const MAX_LENGTH: i64 = 1_000_000;
/// How often the broker delivers a message. We count crashes of the job that was running, which a broker cannot know, and
/// discard at three; this only ends what would otherwise go round for ever. Some versions count a person's peeking too.
const DELIVERY_LIMIT: i64 = 100_000;

/// Longest wait for any answer of the broker other than a confirm.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Declares a queue for jobs with all that belongs to it.
pub(crate) async fn declare_job_queue(channel: &Channel, queue: &str) -> Result<(), Error> {
    declare_dead(channel).await?;
    declare_exchange(channel, JOBS_EXCHANGE, ExchangeKind::Direct).await?;
    let mut arguments = quorum();
    arguments.insert("x-dead-letter-exchange".into(), text(DEAD_EXCHANGE));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(MAX_LENGTH));
    declare_queue(channel, queue, arguments).await?;
    bind(channel, queue, JOBS_EXCHANGE, queue).await
}

/// Declares the exchange and the queue for dead letters.
pub(crate) async fn declare_dead(channel: &Channel) -> Result<(), Error> {
    declare_exchange(channel, DEAD_EXCHANGE, ExchangeKind::Fanout).await?;
    declare_queue(channel, DEAD_QUEUE, quorum()).await?;
    bind(channel, DEAD_QUEUE, DEAD_EXCHANGE, "").await
}

/// Declares the exchange for events. Who listens brings a queue.
pub(crate) async fn declare_events(channel: &Channel) -> Result<(), Error> {
    declare_exchange(channel, EVENTS_EXCHANGE, ExchangeKind::Topic).await
}

/// Messages in a queue that nobody has been sent. `None`: there is no such queue, and the channel is closed.
pub(crate) async fn depth(channel: &Channel, queue: &str) -> Result<Option<u32>, Error> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    match answer(channel.queue_declare(short(queue)?, options, FieldTable::default())).await? {
        Ok(found) => Ok(Some(found.message_count())),
        Err(error) if reply_code(&error) == Some(NOT_FOUND) => Ok(None),
        Err(error) => Err(Error::unavailable(error)),
    }
}

/// A name for the wire, where it may have 255 bytes (AMQP 0-9-1, section 4.2.5.3 "Strings").
pub(crate) fn short(text: &str) -> Result<ShortString, Error> {
    ShortString::try_new(text).map_err(|_| Error::unavailable("a name has more than 255 bytes"))
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
    arguments
}

async fn declare_exchange(channel: &Channel, name: &'static str, kind: ExchangeKind) -> Result<(), Error> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declared = channel.exchange_declare(name.into(), kind, options, FieldTable::default());
    answer(declared).await?.map_err(|error| Error::declaring("exchange", name, &error))
}

async fn declare_queue(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), Error> {
    let declared = channel.queue_declare(short(name)?, QueueDeclareOptions::durable(), arguments);
    answer(declared).await?.map_err(|error| Error::declaring("queue", name, &error))?;
    Ok(())
}

async fn bind(channel: &Channel, queue: &str, exchange: &'static str, key: &str) -> Result<(), Error> {
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(short(queue)?, exchange.into(), short(key)?, options, FieldTable::default());
    answer(bound).await?.map_err(|error| Error::declaring("queue", queue, &error))
}

/// Waits for the broker, but not for ever.
pub(crate) async fn answer<T>(asked: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(ANSWER_TIMEOUT, asked).await.map_err(|_| Error::no_answer())
}
