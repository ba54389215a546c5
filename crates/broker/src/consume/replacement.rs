//! Finds out whether a queue works, and puts another in the place of one that does not.
//!
//! A quorum queue can lose its leader for good: its members are gone or cannot start, while the broker still lists it. It is
//! then deleted and declared again under its name, which RabbitMQ does without a leader too. What was in it is lost: messages are
//! only news of jobs, which the relay publishes again.

use std::time::Duration;

use lapin::Channel;
use lapin::options::{BasicGetOptions, BasicNackOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::AMQPValue;
use messages::MessageId;
use messages::topology::present;

use crate::connection::close;
use crate::connection::socket::{Connected, connect};
use crate::consume::board::Board;
use crate::error::{NOT_FOUND, reply_code};
use crate::publish::DELETED_FOR;
use crate::topology::{answer, ask, declare_queue_of_jobs, declare_surroundings, passive, quorum, short};
use crate::{Config, Error};

/// The broker waits five seconds for each member of a queue before it deletes it by force.
const DELETE_TIMEOUT: Duration = Duration::from_secs(30);
/// A queue that was made to see whether that works is gone after this time, in milliseconds, whatever becomes of us.
const SCRATCH_EXPIRES: i64 = 60_000;

/// What came of trying a queue.
pub(super) enum Trial {
    Works,
    /// Connection and virtual host are fine, and the queue is not.
    Broken(Error),
    /// It may be anything's fault: there is no connection, or we lack a permission.
    Unclear(Error),
}

/// Declares a queue and gets a message from it, which goes back. The connection is one of its own: some versions close the
/// connection of whoever asks a queue without a leader for anything.
pub(super) async fn trial(config: &Config, queue: &str) -> Trial {
    let connection = match connect(config, "trial").await {
        Ok(connection) => connection,
        Err(error) => return Trial::Unclear(error),
    };
    let trial = trial_over(&connection, queue).await;
    close(&connection).await;
    trial
}

async fn trial_over(connection: &Connected, queue: &str) -> Trial {
    let around = async {
        let channel = open(connection).await?;
        declare_surroundings(&channel).await?;
        Ok(channel)
    };
    let channel = match around.await {
        Ok(channel) => channel,
        Err(error) => return Trial::Unclear(error),
    };
    match works(&channel, queue).await {
        Ok(()) => Trial::Works,
        Err(error @ Error::Refused(_)) => Trial::Unclear(error),
        Err(error) => Trial::Broken(error),
    }
}

/// Deletes a queue and declares it again, if it still does not work. An error says why that was not done, or has to be tried again.
///
/// First it makes sure that the broker can make a queue that works. If it cannot, the broker is in trouble, and one queue less would
/// mend nothing. A queue that has other properties and that others consume from works for them, and stays.
pub(super) async fn replace(config: &Config, queue: &str, board: &Board) -> Result<(), String> {
    let connection = connect(config, "replacement").await.map_err(|error| error.to_string())?;
    let replaced = replace_over(config, &connection, queue, board).await;
    close(&connection).await;
    replaced
}

async fn replace_over(config: &Config, connection: &Connected, queue: &str, board: &Board) -> Result<(), String> {
    let name = present(queue);
    let new = ensure_new_queues_work(connection, &name).await;
    new.map_err(|error| format!("a new queue does not work either: {error}"))?;
    match trial(config, queue).await {
        // Another worker was faster.
        Trial::Works => return Ok(()),
        Trial::Unclear(error) => return Err(error.to_string()),
        Trial::Broken(Error::Differs { .. }) => {
            if consumers(connection, &name).await.map_err(|error| error.to_string())? > 0 {
                return Err("others consume from it".to_owned());
            }
        }
        // Nobody gets anything from it, whatever it says of its consumers.
        Trial::Broken(_) => {}
    }
    let deleted = delete(connection, &name).await;
    tokio::time::sleep(DELETED_FOR).await;
    // Also without an answer: it may be gone, or go yet.
    if matches!(deleted, Ok(()) | Err(Error::DeletionUnknown)) {
        board.replaced(queue);
    }
    deleted.map_err(|error| error.to_string())?;
    let declared = async { works(&open(connection).await?, queue).await };
    declared.await.map_err(|error| error.to_string())?;
    tracing::warn!(queue, "another queue has taken its place, and its jobs are published again");
    Ok(())
}

async fn ensure_new_queues_work(connection: &Connected, name: &str) -> Result<(), Error> {
    // Of this worker alone: others may try at the same time.
    let scratch = format!("{name}.trial.{}", MessageId::new());
    let mut arguments = quorum();
    arguments.insert("x-expires".into(), AMQPValue::LongLongInt(SCRATCH_EXPIRES));
    let channel = open(connection).await?;
    ask(channel.queue_declare(short(&scratch)?, QueueDeclareOptions::durable(), arguments)).await?;
    let got = get(&channel, &scratch).await;
    // Whatever came of it: a queue without a leader does not expire.
    let deleted = delete(connection, &scratch).await;
    got.and(deleted)
}

async fn works(channel: &Channel, queue: &str) -> Result<(), Error> {
    declare_queue_of_jobs(channel, queue).await?;
    get(channel, &present(queue)).await
}

/// A leader with a majority is needed to answer this, unlike a declaration of what exists.
pub(super) async fn get(channel: &Channel, name: &str) -> Result<(), Error> {
    let got = answer(channel.basic_get(short(name)?, BasicGetOptions::default())).await?;
    if let Some(message) = got.map_err(|error| Error::declaring("queue", name, &error))? {
        ask(message.delivery.acker.nack(BasicNackOptions { requeue: true, multiple: false })).await?;
    }
    Ok(())
}

/// How many consume from a queue; none if it does not exist, or has no leader to know them.
async fn consumers(connection: &Connected, name: &str) -> Result<u32, Error> {
    match passive(&open(connection).await?, name).await? {
        Ok(found) => Ok(found.consumer_count()),
        Err(error) if reply_code(&error) == Some(NOT_FOUND) => Ok(0),
        Err(error) => Err(Error::unavailable(error)),
    }
}

/// Deletes a queue, if there is one. RabbitMQ does not offer to do so only if a quorum queue is empty or unused.
pub(super) async fn delete(connection: &Connected, name: &str) -> Result<(), Error> {
    let channel = open(connection).await?;
    let deleted = channel.queue_delete(short(name)?, QueueDeleteOptions::default());
    let deleted = tokio::time::timeout(DELETE_TIMEOUT, deleted).await.map_err(|_| Error::DeletionUnknown)?;
    deleted.map_err(Error::unavailable)?;
    Ok(())
}

/// A channel for one question: an error closes it.
pub(super) async fn open(connection: &Connected) -> Result<Channel, Error> {
    ask(connection.amqp.create_channel()).await
}
