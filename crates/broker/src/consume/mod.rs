//! The consumer: one connection, and one supervised subscription a queue.

pub(crate) mod board;
pub(crate) mod delivery;
mod subscription;

use std::sync::Arc;

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
    /// Every queue is consumed.
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
        let board = Arc::new(Board::new(queues));
        // Room for all that the broker sends unacknowledged: a slow receiver must not keep a subscription from noticing
        // that its channel has ended.
        let room: usize = queues.iter().map(|queue| usize::from(queue.prefetch.get())).sum();
        let (sender, deliveries) = mpsc::channel(room.max(1));
        let task = tokio::spawn(run(Supervisor {
            worker: worker.to_owned(),
            queues: queues.to_vec(),
            publisher: publisher.clone(),
            link: link.clone(),
            board: Arc::clone(&board),
            deliveries: sender,
            stop: stop.clone(),
        }));
        let on_drop = [stop.clone().drop_guard(), close.clone().drop_guard()];
        Self { deliveries, board, link, task, stop, close, _on_drop: on_drop }
    }

    /// Waits for the next delivery of any queue, also while there is no broker. `None` after [`Consumer::stop`].
    /// Cancelling it loses no delivery.
    pub async fn recv(&mut self) -> Option<Delivery> {
        loop {
            let delivery = self.deliveries.recv().await?;
            if !delivery.is_stale() {
                return Some(delivery);
            }
        }
    }

    /// Whether every queue is consumed.
    pub fn status(&self) -> ConsumerStatus {
        if self.stop.is_cancelled() {
            return ConsumerStatus::Stopped;
        }
        match &*self.link.borrow() {
            Link::Up(connection) if connection.amqp.status().connected() => match self.board.first_waiting() {
                None => ConsumerStatus::Consuming,
                Some(why) => ConsumerStatus::Waiting { why },
            },
            Link::Up(_) => ConsumerStatus::Waiting { why: "the connection was just lost".to_owned() },
            Link::Down { why } => ConsumerStatus::Waiting { why: why.clone() },
            Link::Closed => ConsumerStatus::Stopped,
        }
    }

    /// Tells which workers are connected.
    pub fn presence(&self) -> Presence {
        Presence::new(self.link.clone())
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

struct Supervisor {
    worker: String,
    queues: Vec<QueueSpec>,
    publisher: Publisher,
    link: watch::Receiver<Link>,
    board: Arc<Board>,
    deliveries: mpsc::Sender<Delivery>,
    stop: CancellationToken,
}

async fn run(mut supervisor: Supervisor) {
    while let Some(connection) = supervisor.connected().await {
        let mut subscriptions = JoinSet::new();
        let mut announcement = JoinSet::new();
        announcement.spawn(announce(Arc::clone(&connection), supervisor.worker.clone()));
        for queue in &supervisor.queues {
            let subscription = supervisor.subscription(&connection, queue.clone());
            subscriptions.spawn(subscription.run());
        }
        match supervisor.lost().await {
            Some(why) => supervisor.board.all_waiting(&why),
            // Each requeues what it holds.
            None => while subscriptions.join_next().await.is_some() {},
        }
    }
}

impl Supervisor {
    /// Waits for a connection. `None`: stopped.
    async fn connected(&mut self) -> Option<Arc<Connected>> {
        let up = self.link.wait_for(|link| !matches!(link, Link::Down { .. }));
        match &*self.stop.run_until_cancelled(up).await?.ok()? {
            Link::Up(connection) => Some(Arc::clone(connection)),
            Link::Down { .. } | Link::Closed => None,
        }
    }

    /// Waits for the connection's end and returns the reason. `None`: stopped.
    async fn lost(&mut self) -> Option<String> {
        self.link.mark_unchanged();
        let lost = self.link.changed();
        self.stop.run_until_cancelled(lost).await?.ok()?;
        match &*self.link.borrow_and_update() {
            Link::Down { why } => Some(why.clone()),
            Link::Up(_) => Some("the connection was replaced".to_owned()),
            Link::Closed => None,
        }
    }

    fn subscription(&self, connection: &Arc<Connected>, queue: QueueSpec) -> Subscription {
        Subscription {
            connection: Arc::clone(connection),
            queue,
            deliveries: self.deliveries.clone(),
            board: Arc::clone(&self.board),
            publisher: self.publisher.clone(),
            stop: self.stop.clone(),
        }
    }
}
