//! Consumes one queue over one connection, and begins again until the connection ends.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::Channel;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use messages::topology::present;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::connection::socket::Connected;
use crate::connection::{delays, next};
use crate::consume::board::{Board, QueueSpec};
use crate::consume::delivery::Delivery;
use crate::consume::former::retire;
use crate::consume::replacement::{Trial, get, replace, trial};
use crate::topology::{ANSWER_TIMEOUT, ask, declare_job_queue, passive, short};
use crate::{Config, Error, Publisher};

/// How often the channel is checked. lapin tells a consumer of its channel's end only once.
const LOOK: Duration = Duration::from_secs(1);
/// After so long without a delivery the broker is asked whether it still knows the consumer.
const QUIET: Duration = Duration::from_secs(5);

pub(crate) struct Subscription {
    pub(crate) config: Config,
    pub(crate) queue: QueueSpec,
    pub(crate) deliveries: mpsc::Sender<Delivery>,
    pub(crate) board: Arc<Board>,
    /// Queues that are not to be consumed for now.
    pub(crate) paused: watch::Receiver<BTreeSet<String>>,
    pub(crate) publisher: Publisher,
    pub(crate) stop: CancellationToken,
    pub(crate) health: Mutex<Health>,
}

/// What is known of a queue, over all connections.
#[derive(Default)]
pub(crate) struct Health {
    /// Whether consuming began and nothing has shown since that the queue works. Some brokers answer that they consume before they
    /// have tried.
    unproven: bool,
    /// Since when every trial has failed while the broker was fine.
    broken_since: Option<Instant>,
}

/// Why deliveries are forwarded no more.
enum End {
    Stopped,
    Paused,
    Failed(String),
}

struct Consuming {
    channel: Channel,
    stream: lapin::Consumer,
    /// Deliveries of this channel that are not settled.
    unsettled: Arc<AtomicUsize>,
    /// When a delivery last arrived, or the broker last knew the consumer.
    well: Instant,
    /// When a delivery last arrived, or the queue was last asked for one.
    proven: Instant,
    /// Whether messages waited although there was room, when the broker was last asked.
    starved: bool,
}

impl Subscription {
    /// Takes note of why the queue is not consumed.
    pub(crate) fn waiting(&self, why: &str) {
        self.board.waiting(&self.queue.name, why);
    }

    /// Returns when the connection has ended, or after `stop`, which requeues what was buffered.
    pub(crate) async fn run(self: Arc<Self>, connection: Arc<Connected>) {
        let queue = self.queue.name.as_str();
        let mut delays = delays();
        let mut retiring = None;
        // What was seen over a connection that is gone says nothing of the time since.
        self.health().broken_since = None;
        while connection.amqp.status().connected() {
            if self.stop.run_until_cancelled(self.unpaused()).await != Some(true) {
                return;
            }
            let why = match self.stop.run_until_cancelled(self.examine()).await {
                None => return,
                Some(Err(why)) => why,
                Some(Ok(())) => match self.begin(&connection).await {
                    Ok(consuming) => {
                        self.board.consuming(queue);
                        tracing::info!(queue, prefetch = self.queue.prefetch, "consuming");
                        // Not before: what no queue takes comes back to its sender.
                        retiring.get_or_insert_with(|| {
                            let every = self.config.look_for_former_every;
                            let retiring =
                                retire(Arc::clone(&connection), queue.to_owned(), Arc::clone(&self.board), every);
                            AbortOnDropHandle::new(tokio::spawn(retiring))
                        });
                        let end = self.forward(consuming).await;
                        delays = crate::connection::delays();
                        match end {
                            End::Stopped => return,
                            End::Paused => continue,
                            End::Failed(why) => why,
                        }
                    }
                    Err(error) => error.to_string(),
                },
            };
            tracing::warn!(queue, why, "not consuming");
            self.waiting(&why);
            let delay = next(&mut delays);
            if self.stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
                return;
            }
        }
    }

    /// Waits while the queue is paused. `false`: nobody can resume it any more.
    async fn unpaused(&self) -> bool {
        let (queue, mut paused) = (self.queue.name.as_str(), self.paused.clone());
        if !paused.borrow().contains(queue) {
            return true;
        }
        tracing::info!(queue, "paused");
        self.board.consuming(queue);
        let is_resumed = paused.wait_for(|paused| !paused.contains(queue)).await.is_ok();
        // What was seen before says nothing of the time since.
        self.health().broken_since = None;
        self.waiting("resumed a moment ago");
        is_resumed
    }

    /// Tries a queue that was not proven to work the last time, apart from the connection that all queues share: it may have been
    /// what ended it. One that has not worked for long, while the broker does, is replaced. An error says what is wrong.
    async fn examine(&self) -> Result<(), String> {
        let (queue, patience) = (self.queue.name.as_str(), self.config.replace_after);
        if !std::mem::replace(&mut self.health().unproven, true) {
            return Ok(());
        }
        let why = match trial(&self.config, queue).await {
            Trial::Broken(error) => error.to_string(),
            Trial::Works => {
                self.health().broken_since = None;
                return Ok(());
            }
            Trial::Unclear(error) => {
                self.health().broken_since = None;
                return Err(error.to_string());
            }
        };
        let broken_for = self.health().broken_since.get_or_insert_with(Instant::now).elapsed();
        if broken_for < patience {
            return Err(format!("the queue does not work, and is replaced after {patience:?}: {why}"));
        }
        tracing::error!(queue, why, "the queue has not worked for long although the broker does: replacing it");
        let (config, board, name) = (self.config.clone(), Arc::clone(&self.board), queue.to_owned());
        // A task of its own: whoever loses the connection meanwhile must not stop halfway.
        let replacing = tokio::spawn(async move { replace(&config, &name, &board).await });
        if let Err(cause) = replacing.await.unwrap_or_else(|panic| Err(panic.to_string())) {
            return Err(format!("the queue does not work and cannot be replaced now ({cause}): {why}"));
        }
        *self.health() = Health { unproven: true, ..Health::default() };
        Ok(())
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn begin(&self, connection: &Connected) -> Result<Consuming, Error> {
        let channel = ask(connection.amqp.create_channel()).await?;
        declare_job_queue(&channel, &self.queue.name).await?;
        // Before consuming, or the broker would send everything.
        ask(channel.basic_qos(self.queue.prefetch.get(), BasicQosOptions::default())).await?;
        let options = BasicConsumeOptions::default();
        let name = short(&present(&self.queue.name))?;
        let consume = channel.basic_consume(name, "".into(), options, FieldTable::default());
        let stream = ask(consume).await?;
        let now = Instant::now();
        Ok(Consuming { channel, stream, unsettled: Arc::default(), well: now, proven: now, starved: false })
    }

    /// Forwards deliveries until that ends, and returns the reason.
    async fn forward(&self, mut consuming: Consuming) -> End {
        let mut paused = self.paused.clone();
        loop {
            let arrived = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    requeue_buffered(consuming).await;
                    return End::Stopped;
                }
                true = is_paused(&mut paused, &self.queue.name) => {
                    requeue_buffered(consuming).await;
                    return End::Paused;
                }
                arrived = timeout(LOOK, consuming.stream.next()) => arrived,
            };
            match arrived {
                Ok(Some(Ok(arrived))) => {
                    let now = Instant::now();
                    (consuming.well, consuming.proven, consuming.starved) = (now, now, false);
                    *self.health() = Health::default();
                    consuming.unsettled.fetch_add(1, Ordering::Relaxed);
                    let delivery = Delivery {
                        body: arrived.data,
                        queue: self.queue.name.clone(),
                        redelivered: arrived.redelivered,
                        properties: arrived.properties,
                        acker: arrived.acker,
                        _channel: consuming.channel.clone(),
                        unsettled: Arc::clone(&consuming.unsettled),
                        publisher: self.publisher.clone(),
                    };
                    // If there is no receiver any more, the broker delivers again when the connection closes.
                    if self.deliveries.send(delivery).await.is_err() {
                        return End::Stopped;
                    }
                }
                Ok(Some(Err(error))) => return End::Failed(error.to_string()),
                Ok(None) => {
                    return End::Failed("the broker cancelled the consumer; was the queue deleted?".to_owned());
                }
                Err(_) if !consuming.channel.status().connected() => {
                    return End::Failed("the channel ended".to_owned());
                }
                Err(_) if consuming.well.elapsed() < QUIET => {}
                Err(_) => {
                    if let Some(Some(why)) = self.stop.run_until_cancelled(self.check(&mut consuming)).await {
                        return End::Failed(why);
                    }
                }
            }
        }
    }

    /// Asks the broker whether it still knows the consumer. Returns what is wrong.
    ///
    /// A queue that is deleted and declared again at once, as our publisher would, can lose its consumers silently
    /// (seen with RabbitMQ 3.10): connection and channel live, and nothing ever arrives.
    async fn check(&self, consuming: &mut Consuming) -> Option<String> {
        let asked = passive(&consuming.channel, &present(&self.queue.name)).await;
        let found = match asked.and_then(|found| found.map_err(Error::unavailable)) {
            Ok(found) => found,
            Err(error) => return Some(error.to_string()),
        };
        if found.consumer_count() == 0 {
            return Some("the broker no longer knows the consumer".to_owned());
        }
        let room = consuming.unsettled.load(Ordering::Relaxed) < usize::from(self.queue.prefetch.get());
        let starving = room && found.message_count() > 0;
        if starving && consuming.starved {
            return Some("messages wait, and the broker does not send them".to_owned());
        }
        if room && !starving && consuming.proven.elapsed() >= self.config.prove_every {
            // A queue that has lost its majority knows its consumers and confirms nothing, so that nothing ever waits in it.
            if let Err(error) = get(&consuming.channel, &present(&self.queue.name)).await {
                return Some(format!("the queue is quiet and does not answer: {error}"));
            }
            consuming.proven = Instant::now();
            *self.health() = Health::default();
        }
        (consuming.well, consuming.starved) = (Instant::now(), starving);
        None
    }
}

/// Waits until a queue is paused. `false`: nobody can pause it any more.
async fn is_paused(paused: &mut watch::Receiver<BTreeSet<String>>, queue: &str) -> bool {
    paused.wait_for(|paused| paused.contains(queue)).await.is_ok()
}

/// Cancels the consumer and requeues what was buffered. The channel lives as long as its deliveries.
async fn requeue_buffered(mut consuming: Consuming) {
    let tag = consuming.stream.tag();
    let cancel = consuming.channel.basic_cancel(tag, BasicCancelOptions::default());
    let requeue = BasicNackOptions { requeue: true, ..Default::default() };
    let work = async {
        if let Err(error) = cancel.await {
            tracing::debug!(%error, "the consumer was already gone");
        }
        while let Some(Ok(delivery)) = consuming.stream.next().await {
            if let Err(error) = delivery.acker.nack(requeue).await {
                tracing::debug!(%error, "the delivery comes again anyway");
            }
        }
    };
    if timeout(ANSWER_TIMEOUT, work).await.is_err() {
        tracing::debug!("the broker does not answer; it delivers again when the connection closes");
    }
}
