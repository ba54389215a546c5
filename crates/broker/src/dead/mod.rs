//! Dead letters: messages that wait for a person, and their replay.

pub(crate) mod admin;
pub(crate) mod replay;

use std::time::{Duration, Instant};

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};
use lapin::types::AMQPValue;
use lapin::{Acker, BasicProperties, Channel};
use messages::topology::{DEAD_QUEUE, JOBS_EXCHANGE, without_generation};
use sha2::{Digest, Sha256};

use crate::error::{NOT_FOUND, reply_code, settled};
use crate::headers::{DIED_AT, PERSISTENT, QUEUE, REASON, header, identified, traced};
use crate::publish::Outgoing;
use crate::topology::{answer, ask, depth};
use crate::{Error, Publisher};

/// Digits of an id: enough for a million letters, few enough to be typed.
const ID_DIGITS: usize = 12;

/// How long closing waits until letters are visible again.
const BACK_IN_SIGHT: Duration = Duration::from_secs(1);

/// Headers in which the broker counts how often a letter was looked at. The second one exists from 4.3 on.
const LOOKED_AT: [&str; 2] = ["x-delivery-count", "x-acquired-count"];

/// A message that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// 12 hexadecimal digits, a hash of queue, message id and body. Two copies that a crash has left have the same id.
    pub id: String,
    /// Why it is dead: our reason if there is one, else the broker's (`rejected`, `delivery_limit`, ...).
    pub reason: String,
    /// The queue it came from.
    pub queue: String,
    /// The kind in its properties, if any.
    pub kind: Option<String>,
    /// The sender's id for it, if any.
    pub message_id: Option<String>,
    /// When it died, in Unix seconds. Letters of the first version know only when they were sent.
    pub died_at: Option<u64>,
    /// All properties and headers by name, for a person to read.
    pub outside: Vec<(String, String)>,
    /// Perhaps not an envelope.
    pub body: Vec<u8>,
}

/// Walks the dead letters. A letter that was shown is hidden from others until the queue is closed. Then it is back in
/// its place, unless it was replayed. Dropping the queue returns the letters when its connection closes.
pub struct DeadQueue {
    channel: Channel,
    current: Option<lapin::message::Delivery>,
    /// The latest letter before that stays, and how many stay.
    left: Option<(Acker, u32)>,
}

impl DeadQueue {
    /// The next letter; `None` if there are no more.
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, Error> {
        self.leave();
        match answer(self.channel.basic_get(DEAD_QUEUE.into(), BasicGetOptions::default())).await? {
            Ok(None) => Ok(None),
            Ok(Some(found)) => {
                let letter = read(&found.delivery.properties, found.delivery.data.clone());
                self.current = Some(found.delivery);
                Ok(Some(letter))
            }
            // Nothing ever died here.
            Err(error) if reply_code(&error) == Some(NOT_FOUND) => Ok(None),
            Err(error) => Err(Error::unavailable(error)),
        }
    }

    /// Publishes the letter that [`DeadQueue::next`] returned last to a job queue, byte for byte, and removes it once
    /// the broker has confirmed. A crash in between leaves it in both, which is harmless. After an error the letter
    /// stays, but [`Error::SettleLost`] means that it is published and perhaps stays.
    pub async fn replay(&mut self, to: &str, publisher: &Publisher) -> Result<(), Error> {
        let Some(shown) = &self.current else { return Err(Error::unavailable("there is no letter to replay")) };
        let (body, properties) = (shown.data.as_slice(), as_sent(&shown.properties));
        publisher.send(Outgoing { exchange: JOBS_EXCHANGE, queue: to, body, properties }).await?;
        settled(answer(shown.acker.ack(BasicAckOptions::default())).await)?;
        self.current = None;
        Ok(())
    }

    /// Returns the letters that stay, and waits up to a second until they are visible again: a quorum queue takes some
    /// milliseconds to write that to its log. After an error they come back when the connection closes.
    pub async fn close(mut self) -> Result<(), Error> {
        self.leave();
        if let Some((latest, count)) = &self.left {
            let all = BasicNackOptions { multiple: true, requeue: true };
            ask(latest.nack(all)).await?;
            let deadline = Instant::now() + BACK_IN_SIGHT;
            while depth(&self.channel, DEAD_QUEUE).await?.is_some_and(|there| there < *count)
                && Instant::now() < deadline
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        if !self.channel.status().connected() {
            return Ok(());
        }
        // Acks and nacks have no answer of their own. Once the channel is closed they are done.
        ask(self.channel.close(200, "done".into())).await
    }

    fn leave(&mut self) {
        if let Some(shown) = self.current.take() {
            let before = self.left.as_ref().map_or(0, |(_, count)| *count);
            self.left = Some((shown.acker, before + 1));
        }
    }
}

fn read(properties: &BasicProperties, body: Vec<u8>) -> DeadLetter {
    let text = |names: [&str; 2]| {
        let value = names.into_iter().find_map(|name| header(properties, name));
        value.and_then(AMQPValue::as_long_string).map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned())
    };
    // The broker writes its own name of the queue.
    let queue = text([QUEUE, "x-first-death-queue"]).unwrap_or_default();
    let queue = without_generation(&queue).to_owned();
    let message_id = properties.message_id().as_ref().map(ToString::to_string);
    DeadLetter {
        id: id(&queue, message_id.as_deref(), &body),
        reason: text([REASON, "x-first-death-reason"]).unwrap_or_default(),
        kind: properties.kind().as_ref().map(ToString::to_string),
        died_at: header(properties, DIED_AT).and_then(AMQPValue::as_timestamp).or_else(|| died_at(properties)),
        outside: outside(properties),
        queue,
        message_id,
        body,
    }
}

/// Hashes each part behind its length, so that different letters never hash the same bytes.
fn id(queue: &str, message_id: Option<&str>, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    for part in [queue.as_bytes(), message_id.unwrap_or_default().as_bytes(), body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digits: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    digits.chars().take(ID_DIGITS).collect()
}

/// The time that the broker writes when it dead-letters a message (<https://www.rabbitmq.com/docs/dlx#effects>).
fn died_at(properties: &BasicProperties) -> Option<u64> {
    let deaths = header(properties, "x-death")?.as_array()?;
    let AMQPValue::FieldTable(death) = deaths.as_slice().first()? else { return None };
    death.inner().get("time")?.as_timestamp()
}

fn outside(properties: &BasicProperties) -> Vec<(String, String)> {
    let known = [
        ("message_id", properties.message_id()),
        ("type", properties.kind()),
        ("content_type", properties.content_type()),
        ("app_id", properties.app_id()),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.as_ref()?.to_string())));
    let sent = properties.timestamp().map(|seconds| ("timestamp".to_owned(), seconds.to_string()));
    let headers = properties.headers().iter().flat_map(|headers| headers.inner());
    let headers = headers.filter(|(name, _)| !LOOKED_AT.contains(&name.as_str()));
    known.chain(sent).chain(headers.map(|(name, value)| (name.to_string(), readable(value)))).collect()
}

fn readable(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Timestamp(seconds) => seconds.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// The properties that the message was sent with. Those of a dead letter go: some versions of RabbitMQ would count an
/// `x-death` of the past.
fn as_sent(properties: &BasicProperties) -> BasicProperties {
    identified(properties).with_headers(traced(properties)).with_delivery_mode(PERSISTENT)
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldTable;

    use super::*;

    #[test]
    fn the_queue_of_what_the_broker_dead_lettered_is_the_one_that_jobs_know() {
        let mut headers = FieldTable::default();
        headers.insert("x-first-death-queue".into(), AMQPValue::LongString("media.delete:2".into()));
        let letter = read(&BasicProperties::default().with_headers(headers), Vec::new());
        assert_eq!(letter.queue, "media.delete");
    }
}
