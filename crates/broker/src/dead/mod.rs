//! Dead letters: what waits for a person, and its way back.

pub(crate) mod admin;

use std::time::{Duration, Instant};

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, BasicProperties, Channel};
use messages::topology::{DEAD_QUEUE, JOBS_EXCHANGE};
use sha2::{Digest, Sha256};

use crate::error::{NOT_FOUND, reply_code};
use crate::headers::{DIED_AT, QUEUE, REASON, header, identified};
use crate::publish::{Outgoing, PERSISTENT};
use crate::topology::{answer, depth};
use crate::{Error, Publisher};

/// Digits of an id: enough to tell a million letters apart, few enough to be typed.
const ID_DIGITS: usize = 12;

/// How long closing waits for letters to be back in sight.
const BACK_IN_SIGHT: Duration = Duration::from_secs(1);

/// Headers in which the broker counts how often somebody looked at a letter; the second one from 4.3 on.
const LOOKED_AT: [&str; 2] = ["x-delivery-count", "x-acquired-count"];

/// A message that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names it, 12 hexadecimal digits made of its queue, its message id and its body. A letter that a crash has left twice has
    /// the same id twice.
    pub id: String,
    /// Why it is there: ours if we know, else the broker's (`rejected`, `delivery_limit`, ...).
    pub reason: String,
    /// The queue it came from.
    pub queue: String,
    /// The kind that its sender wrote on the outside, if any.
    pub kind: Option<String>,
    /// Its sender's name for it, if any.
    pub message_id: Option<String>,
    /// When it died, in seconds since the Unix epoch. Letters of the first version know only when they were sent.
    pub died_at: Option<u64>,
    /// Everything that is written on the outside, for a person to read: properties by their names, headers by theirs.
    pub outside: Vec<(String, String)>,
    /// The body; perhaps not an envelope.
    pub body: Vec<u8>,
}

/// Goes through the dead letters. Each that was shown is out of everybody else's sight until the queue is closed, and then back
/// in its place unless it was replayed. Dropped, it lets go of them when its connection closes.
pub struct DeadQueue {
    channel: Channel,
    current: Option<Shown>,
    /// The latest of those before that stay, and how many they are.
    left: Option<(Acker, u32)>,
}

/// The letter that was shown last.
struct Shown {
    properties: BasicProperties,
    body: Vec<u8>,
    acker: Acker,
}

impl DeadQueue {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, current: None, left: None }
    }

    /// The next letter. The one before it stays unless it was replayed. `None`: there are no more.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`].
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, Error> {
        self.leave();
        match answer(self.channel.basic_get(DEAD_QUEUE.into(), BasicGetOptions::default())).await? {
            Ok(None) => Ok(None),
            Ok(Some(found)) => {
                let lapin::message::Delivery { properties, acker, data, .. } = found.delivery;
                let letter = read(&properties, data.clone());
                self.current = Some(Shown { properties, body: data, acker });
                Ok(Some(letter))
            }
            // Nothing ever died here.
            Err(error) if reply_code(&error) == Some(NOT_FOUND) => Ok(None),
            Err(error) => Err(Error::unavailable(error)),
        }
    }

    /// Publishes the letter that [`DeadQueue::next`] gave last to a queue of jobs, byte for byte, and removes it from here once
    /// the broker has confirmed that. A crash in between leaves it in both: a message too many, which is harmless.
    ///
    /// # Errors
    ///
    /// As [`Publisher::publish`]; then the letter stays. [`Error::SettleLost`]: it was published, and perhaps it stays as well.
    /// [`Error::Unavailable`] also without such a letter.
    pub async fn replay(&mut self, to: &str, publisher: &Publisher) -> Result<(), Error> {
        let Some(shown) = &self.current else { return Err(Error::unavailable("there is no letter to replay")) };
        let (body, properties) = (shown.body.as_slice(), as_sent(&shown.properties));
        publisher.send(Outgoing { exchange: JOBS_EXCHANGE, queue: to, mandatory: true, body, properties }).await?;
        let lost = |why: String| Error::SettleLost { why };
        match answer(shown.acker.ack(BasicAckOptions::default())).await {
            Ok(Ok(true)) => self.current = None,
            Ok(Ok(false)) => return Err(lost("the connection was lost meanwhile".to_owned())),
            Ok(Err(error)) => return Err(lost(error.to_string())),
            Err(error) => return Err(lost(error.to_string())),
        }
        Ok(())
    }

    /// Lets go of what stays, and waits until the next one who looks sees it again: a quorum queue takes a message back only once
    /// its log has that, some milliseconds after it was told. Letters that somebody else takes meanwhile are waited for in vain,
    /// for a second.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: it comes back when the connection closes.
    pub async fn close(mut self) -> Result<(), Error> {
        self.leave();
        if let Some((latest, count)) = &self.left {
            let all = BasicNackOptions { multiple: true, requeue: true };
            answer(latest.nack(all)).await?.map_err(Error::unavailable)?;
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
        // Nobody confirms an ack or a nack; a closed channel has had them done.
        answer(self.channel.close(200, "done".into())).await?.map_err(Error::unavailable)
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
    let queue = text([QUEUE, "x-first-death-queue"]).unwrap_or_default();
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

/// Each part behind its length, so that no two letters run together into the same.
fn id(queue: &str, message_id: Option<&str>, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    for part in [queue.as_bytes(), message_id.unwrap_or_default().as_bytes(), body] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let digits: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    digits.chars().take(ID_DIGITS).collect()
}

/// What the broker wrote when it gave the message up itself (<https://www.rabbitmq.com/docs/dlx#effects>).
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

/// The properties that the message was sent with, as far as they mean something. What a dead letter has beside them goes: some
/// versions of RabbitMQ would count an `x-death` of the past.
fn as_sent(properties: &BasicProperties) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some(traceparent) = header(properties, "traceparent") {
        headers.insert("traceparent".into(), traceparent.clone());
    }
    identified(properties).with_headers(headers).with_delivery_mode(PERSISTENT)
}
