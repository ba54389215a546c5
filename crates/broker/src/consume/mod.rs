//! The consumer: one connection, and one supervised subscription a queue.

pub(crate) mod board;
pub(crate) mod delivery;
mod former;
mod replacement;
mod subscription;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::connection::presence::{Presence, announce};
use crate::connection::socket::Connected;
use crate::connection::{Link, keep_up};
use crate::consume::board::{Board, QueueSpec};
use crate::consume::delivery::{Delivery, Disposition};
use crate::consume::subscription::Subscription;
use crate::{Config, Publisher};

/// Whether a consumer consumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerStatus {
    /// Every queue is consumed that is not [paused](Consumer::pause).
    Consuming,
    /// At least one is not. A worker in this state is not ready.
    Waiting {
        /// Which, and why.
        why: String,
    },
    /// [`Consumer::stop`] was called.
    Stopped,
}

/// Receives deliveries over a connection of its own, and reconnects by itself.
///
/// Dropping it cuts the connection; the broker delivers again what is unsettled.
pub struct Consumer {
    deliveries: mpsc::Receiver<Delivery>,
    board: Arc<Board>,
    /// Queues that are not to be consumed for now.
    paused: watch::Sender<BTreeSet<String>>,
    link: watch::Receiver<Link>,
    task: JoinHandle<()>,
    stop: CancellationToken,
    close: CancellationToken,
    _on_drop: [DropGuard; 2],
}

impl Consumer {
    /// Begins to connect and to consume, and returns at once. Needs a tokio runtime.
    ///
    /// `worker` is the id by which [`Presence`] finds this process; no other may have it. `publisher` sends dead
    /// letters.
    pub fn start(config: &Config, worker: &str, queues: &[QueueSpec], publisher: &Publisher) -> Self {
        let (stop, close) = (CancellationToken::new(), CancellationToken::new());
        let link = keep_up(config.clone(), "consumer", close.clone());
        let board = Arc::<Board>::default();
        let (paused, told) = watch::channel(BTreeSet::new());
        // Room for all that the broker sends unacknowledged: a slow receiver must not keep a subscription from noticing
        // that its channel has ended.
        let room: usize = queues.iter().map(|queue| usize::from(queue.prefetch.get())).sum();
        let (sender, deliveries) = mpsc::channel(room.max(1));
        let subscription = |queue: &QueueSpec| Subscription {
            config: config.clone(),
            queue: queue.clone(),
            deliveries: sender.clone(),
            board: Arc::clone(&board),
            paused: told.clone(),
            publisher: publisher.clone(),
            stop: stop.clone(),
            health: Mutex::default(),
        };
        let subscriptions: Vec<_> = queues.iter().map(subscription).map(Arc::new).collect();
        subscriptions.iter().for_each(|subscription| subscription.waiting("not connected yet"));
        let task = tokio::spawn(run(link.clone(), worker.to_owned(), subscriptions, stop.clone()));
        let on_drop = [stop.clone().drop_guard(), close.clone().drop_guard()];
        Self { deliveries, board, paused, link, task, stop, close, _on_drop: on_drop }
    }

    /// Waits for the next delivery of any queue, also while there is no broker. `None` after [`Consumer::stop`].
    /// Cancelling it loses no delivery.
    pub async fn recv(&mut self) -> Option<Delivery> {
        loop {
            let delivery = self.deliveries.recv().await?;
            if !delivery.is_stale() {
                meters::DELIVERIES.add(&[if delivery.redelivered { "true" } else { "false" }], 1);
                return Some(delivery);
            }
        }
    }

    /// Whether every queue is consumed that is not paused.
    pub fn status(&self) -> ConsumerStatus {
        if self.stop.is_cancelled() {
            return ConsumerStatus::Stopped;
        }
        let waiting = self.link.borrow().connection().err().or_else(|| self.board.first_waiting());
        waiting.map_or(ConsumerStatus::Consuming, |why| ConsumerStatus::Waiting { why })
    }

    /// Consumes all queues but these, until it is told otherwise. What they have sent and nobody has received is requeued, and what was
    /// received can be settled as ever. A queue that is paused counts as consumed in [`Consumer::status`]: nothing is wrong with it.
    ///
    /// What was received before a pause still counts for nothing of the prefetch after it.
    pub fn pause(&self, queues: BTreeSet<String>) {
        self.paused.send_if_modified(|paused| {
            let is_news = *paused != queues;
            *paused = queues;
            is_news
        });
    }

    /// The queues whose messages went with the queue since this was last asked: because they did not work and were replaced, or
    /// because they were those of an earlier version. Their jobs are to be published again.
    pub fn take_replaced(&self) -> BTreeSet<String> {
        self.board.take_replaced()
    }

    /// Tells which workers are connected.
    pub fn presence(&self) -> Presence {
        Presence { link: self.link.clone() }
    }

    /// Stops consuming and requeues the deliveries that [`Consumer::recv`] has not returned. Those that it has returned
    /// can be settled until [`Consumer::close`].
    pub async fn stop(&mut self) {
        self.stop.cancel();
        while let Some(delivery) = self.deliveries.recv().await {
            if let Err(error) = delivery.settle(Disposition::Requeue).await {
                tracing::debug!(%error, "the broker delivers it again anyway");
            }
        }
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the consumer's task failed");
        }
    }

    /// Stops and closes the connection. The broker delivers again what is unsettled.
    pub async fn close(mut self) {
        if !self.task.is_finished() {
            self.stop().await;
        }
        self.close.cancel();
        let _ = self.link.wait_for(|link| matches!(link, Link::Closed)).await;
    }
}

async fn run(
    mut link: watch::Receiver<Link>,
    worker: String,
    subscriptions: Vec<Arc<Subscription>>,
    stop: CancellationToken,
) {
    while let Some(connection) = connected(&mut link, &stop).await {
        let mut tasks = JoinSet::new();
        let mut announcement = JoinSet::new();
        announcement.spawn(announce(Arc::clone(&connection), worker.clone()));
        for subscription in &subscriptions {
            tasks.spawn(Arc::clone(subscription).run(Arc::clone(&connection)));
        }
        match lost(&mut link, &stop).await {
            Some(why) => subscriptions.iter().for_each(|subscription| subscription.waiting(&why)),
            // Each requeues what it holds.
            None => while tasks.join_next().await.is_some() {},
        }
    }
}

/// Waits for a connection. `None`: stopped.
async fn connected(link: &mut watch::Receiver<Link>, stop: &CancellationToken) -> Option<Arc<Connected>> {
    let up = link.wait_for(|link| !matches!(link, Link::Down(_)));
    match &*stop.run_until_cancelled(up).await?.ok()? {
        Link::Up(connection) => Some(Arc::clone(connection)),
        Link::Down(_) | Link::Closed => None,
    }
}

/// Waits for the connection's end and returns the reason. `None`: stopped.
async fn lost(link: &mut watch::Receiver<Link>, stop: &CancellationToken) -> Option<String> {
    link.mark_unchanged();
    stop.run_until_cancelled(link.changed()).await?.ok()?;
    match &*link.borrow_and_update() {
        Link::Down(why) => Some(why.clone()),
        Link::Up(_) => Some("the connection was replaced".to_owned()),
        Link::Closed => None,
    }
}
