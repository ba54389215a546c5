//! Confirmed publishing.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crash_points::Point;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation};
use messages::topology::{DEAD_EXCHANGE, DEAD_QUEUE, EVENTS_EXCHANGE, JOBS_EXCHANGE};
use messages::{Envelope, EventMessage};
use program::telemetry::TraceContext;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::connection::socket::Connected;
use crate::connection::{Link, keep_up};
use crate::headers::{self, APP_ID, PERSISTENT};
use crate::topology::{ask, depth};
use crate::{Config, Error, spans, topology};

/// Publishes at a time. Each has a channel to itself: RabbitMQ returns a message that it cannot route *before* its
/// confirm and does not say which publish it belongs to. With two on one channel, lapin would hand it to the wrong one.
const CHANNELS: usize = 16;
/// How long a queue stays deleted before it is declared again. If it returns within milliseconds, RabbitMQ 3.10 takes
/// it for the old one, consumers included, and sends messages to consumers that are gone.
pub(crate) const DELETED_FOR: Duration = Duration::from_secs(1);

/// Publishes jobs and events over a connection of its own. Cloning is cheap; the connection closes with the last clone.
#[derive(Clone)]
pub struct Publisher {
    inner: Arc<Inner>,
}

struct Inner {
    link: watch::Receiver<Link>,
    stop: CancellationToken,
    timeout: Duration,
    permits: Semaphore,
    pool: Mutex<Pool>,
    /// One declaration at a time. A new quorum queue has no leader for a moment. A second declaration in that moment
    /// succeeds, and the publish after it is refused.
    declaring: tokio::sync::Mutex<()>,
}

/// What belongs to the present connection.
#[derive(Default)]
struct Pool {
    connection: Option<Arc<Connected>>,
    idle: Vec<Channel>,
    declared: HashSet<String>,
    /// When a queue was found deleted.
    deleted: HashMap<String, Instant>,
}

/// Whether messages can be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublisherStatus {
    /// They can.
    Connected,
    /// The broker is short of memory or disk and accepts none.
    Blocked,
    /// There is no connection.
    Disconnected {
        /// Why not.
        why: String,
    },
}

pub(crate) struct Outgoing<'a> {
    pub(crate) exchange: &'static str,
    /// Routing key.
    pub(crate) queue: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) properties: BasicProperties,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Publisher {
    /// Begins to connect, and returns at once. Needs a tokio runtime.
    pub fn start(config: &Config) -> Self {
        let stop = CancellationToken::new();
        let link = keep_up(config.clone(), "publisher", stop.clone());
        Self {
            inner: Arc::new(Inner {
                link,
                stop,
                timeout: config.publish_timeout,
                permits: Semaphore::new(CHANNELS),
                pool: Mutex::default(),
                declaring: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// Publishes a job to its queue, after declaring the queue if this connection has not.
    ///
    /// `Ok` means that the message is on disk, in a queue. [`Error::Unknown`]: perhaps it is; after any other error it
    /// is not. Publish again later, as the relay does. Returns within twice the time limit, without a connection at once.
    pub async fn publish(&self, envelope: &Envelope) -> Result<(), Error> {
        self.publish_in(spans::continuing(envelope), envelope).await
    }

    /// The same for whoever publishes it later, or again: in a trace of its own, with a link to the one that the envelope names.
    pub async fn publish_anew(&self, envelope: &Envelope) -> Result<(), Error> {
        self.publish_in(spans::beginning(envelope), envelope).await
    }

    async fn publish_in(&self, span: Span, envelope: &Envelope) -> Result<(), Error> {
        let carried = spans::carried(&span, envelope);
        let envelope: &Envelope = &carried;
        let headers = headers::of_trace(envelope.traceparent.as_deref(), envelope.tracestate.as_deref());
        let timestamp = u64::try_from(envelope.enqueued_at.unix_timestamp()).unwrap_or_default();
        let properties = properties(envelope.job.kind())
            .with_message_id(envelope.message_id.to_string().into())
            .with_timestamp(timestamp)
            .with_headers(headers);
        let (queue, body) = (envelope.job.queue(), envelope.encode());
        let kind = envelope.job.kind();
        crash_points::reach_with(Point::PublishBegun, &[&envelope.job_id, &kind]);
        let message = Outgoing { exchange: JOBS_EXCHANGE, queue: &queue, body: &body, properties };
        spans::watched(span, &body, self.send(message)).await?;
        crash_points::reach_with(Point::PublishConfirmed, &[&envelope.job_id, &kind]);
        Ok(())
    }

    /// Publishes an event, as [`Publisher::publish`] does a job, in the trace in which it is called. No listener is no error.
    pub async fn publish_event(&self, message: &EventMessage) -> Result<(), Error> {
        // Structs of strings always serialise.
        let body = serde_json::to_vec(message).unwrap_or_default();
        let queue = message.event.kind();
        let mut properties = properties(queue).with_message_id(message.id.to_string().into());
        let span = spans::of_event(message);
        if let Some(context) = TraceContext::of(&span) {
            let headers = headers::of_trace(Some(&context.traceparent()), context.tracestate().as_deref());
            properties = properties.with_headers(headers);
        }
        let message = Outgoing { exchange: EVENTS_EXCHANGE, queue, body: &body, properties };
        spans::watched(span, &body, self.send(message)).await
    }

    /// Whether messages can be published.
    pub fn status(&self) -> PublisherStatus {
        match self.inner.link.borrow().connection() {
            Ok(connection) if connection.amqp.status().blocked() => PublisherStatus::Blocked,
            Ok(_) => PublisherStatus::Connected,
            Err(why) => PublisherStatus::Disconnected { why },
        }
    }

    /// Dead letters that nobody looks at, asked over this connection. `None`: the broker does not say.
    pub async fn dead_letters(&self) -> Option<u32> {
        let connection = self.connection().ok()?;
        let channel = ask(connection.amqp.create_channel()).await.ok()?;
        let found = depth(&channel, DEAD_QUEUE).await.ok()?;
        if found.is_some() {
            // Without such a queue the broker has closed it.
            let _ = ask(channel.close(200, "done".into())).await;
        }
        Some(found.unwrap_or(0))
    }

    /// Waits until there is a connection, or until the publisher is closed.
    pub async fn connected(&self) {
        let mut link = self.inner.link.clone();
        let _ = link.wait_for(|link| !matches!(link, Link::Down(_))).await;
    }

    /// Closes the connection, for all clones. Publishes under way become unknown.
    pub async fn close(&self) {
        self.inner.stop.cancel();
        let mut link = self.inner.link.clone();
        let _ = link.wait_for(|link| matches!(link, Link::Closed)).await;
    }

    pub(crate) async fn send(&self, message: Outgoing<'_>) -> Result<(), Error> {
        let limit = self.inner.timeout;
        let ready = timeout(limit, self.channel(&message)).await;
        let (_permit, channel) = ready.map_err(|_| Error::no_answer())??;
        let began = Instant::now();
        let sent = timeout(limit, confirmed(&channel, &message)).await;
        let result = sent.unwrap_or_else(|_| Err(Error::Unknown(format!("no confirm within {limit:?}"))));
        measure(&result, began.elapsed());
        match &result {
            // The channel is idle and can be used again.
            Ok(()) | Err(Error::Nacked(_)) if channel.status().connected() => self.pool().idle.push(channel),
            Ok(()) | Err(Error::Nacked(_)) => {}
            Err(Error::Returned { .. }) => {
                self.forget(message.queue);
                self.pool().deleted.insert(message.queue.to_owned(), Instant::now());
            }
            // Perhaps an exchange was deleted: declare it again next time.
            Err(_) => self.forget(message.queue),
        }
        result
    }

    /// An idle channel, after declaring the queue.
    async fn channel(&self, message: &Outgoing<'_>) -> Result<(SemaphorePermit<'_>, Channel), Error> {
        // Fail at once during an outage, also while all channels wait for confirms that will not come.
        self.connection()?;
        let permit = self.inner.permits.acquire().await.map_err(Error::unavailable)?;
        let connection = self.connection()?;
        let idle = {
            let mut pool = self.pool();
            if !pool.connection.as_ref().is_some_and(|known| Arc::ptr_eq(known, &connection)) {
                *pool = Pool { connection: Some(Arc::clone(&connection)), ..Pool::default() };
            }
            pool.idle.pop()
        };
        let channel = match idle {
            Some(channel) => channel,
            None => open(&connection).await?,
        };
        if !self.pool().declared.contains(message.queue) {
            self.declare(&channel, message).await?;
        }
        Ok((permit, channel))
    }

    async fn declare(&self, channel: &Channel, message: &Outgoing<'_>) -> Result<(), Error> {
        let _one_at_a_time = self.inner.declaring.lock().await;
        if self.pool().declared.contains(message.queue) {
            return Ok(());
        }
        if self.pool().deleted.get(message.queue).is_some_and(|when| when.elapsed() < DELETED_FOR) {
            return Err(Error::unavailable("the queue was deleted a moment ago"));
        }
        match message.exchange {
            JOBS_EXCHANGE => topology::declare_job_queue(channel, message.queue).await?,
            DEAD_EXCHANGE => topology::declare_dead(channel).await?,
            _ => topology::declare_events(channel).await?,
        }
        let mut pool = self.pool();
        pool.deleted.remove(message.queue);
        pool.declared.insert(message.queue.to_owned());
        Ok(())
    }

    fn connection(&self) -> Result<Arc<Connected>, Error> {
        let connection = self.inner.link.borrow().connection().map_err(Error::Unavailable)?;
        if connection.amqp.status().blocked() {
            return Err(Error::unavailable("it raised an alarm and takes no messages"));
        }
        Ok(connection)
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.inner.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, queue: &str) {
        self.pool().declared.remove(queue);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn open(connection: &Connected) -> Result<Channel, Error> {
    let channel = connection.amqp.create_channel().await.map_err(Error::unavailable)?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(Error::unavailable)?;
    Ok(channel)
}

/// Publishes and waits for the answer. Published means confirmed *and* not returned: the broker also confirms a message
/// that it could not route.
async fn confirmed(channel: &Channel, message: &Outgoing<'_>) -> Result<(), Error> {
    let unknown = |error: lapin::Error| Error::Unknown(error.to_string());
    let key = topology::short(message.queue)?;
    let mandatory = topology::is_mandatory(message.exchange);
    let options = BasicPublishOptions { mandatory, ..Default::default() };
    let properties = message.properties.clone();
    let published = channel.basic_publish(message.exchange.into(), key, options, message.body, properties).await;
    let confirm = published.map_err(unknown)?;
    crash_points::reach_with(Point::PublishSent, &[&message.queue]);
    match confirm.await.map_err(unknown)? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
            Err(Error::Returned { queue: message.queue.to_owned(), said: returned.reply_text.to_string() })
        }
        Confirmation::Nack(None) => Err(Error::Nacked(message.queue.to_owned())),
        Confirmation::NotRequested => Err(Error::Unknown("the channel does not confirm".to_owned())),
    }
}

/// Counts what became of a message. One that was not sent is none.
fn measure(result: &Result<(), Error>, took: Duration) {
    let said = match result {
        Ok(()) => "confirmed",
        Err(Error::Nacked(_)) => "nacked",
        Err(Error::Returned { .. }) => "returned",
        Err(Error::Unknown(_)) => "unknown",
        Err(_) => return,
    };
    meters::PUBLISHES.add(&[said], 1);
    if said != "unknown" {
        meters::PUBLISH_CONFIRM.took(&[], took);
    }
}

fn properties(kind: &str) -> BasicProperties {
    BasicProperties::default()
        .with_type(kind.into())
        .with_content_type(Envelope::CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_app_id(APP_ID.into())
}
