//! What everything in a worker shares.

use std::sync::Arc;

use broker::{ConsumerStatus, Publisher};
use spool::Spool;
use store::{Orders, Store};
use tokio::sync::mpsc::{Sender, UnboundedSender};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Settings;
use crate::delivery::{Copies, InFlight, Isolation, Runs, Slots, Wanted};
use crate::maintenance::database_gate::Database;
use crate::maintenance::publishing::{Published, Waiting};
use crate::maintenance::{Reconciled, Replaced, SpoolUse};
use crate::media_host::MediaHost;

pub(crate) struct Context {
    /// Names this worker: in claims, and to the broker while it is connected.
    pub worker: String,
    pub settings: Settings,
    pub store: Store,
    pub spool: Spool,
    /// Whoever asks the spool how it is has the one permit.
    pub asking_spool: Arc<Semaphore>,
    pub media: cloudinary::Client,
    /// Asks addresses that users have registered.
    pub webhooks: outbound::Client,
    pub publisher: Publisher,
    /// For other connections to the broker.
    pub broker: broker::Config,
    /// What outcomes brought about, to be published.
    pub outbox: Sender<Waiting>,
    /// What is published, to be noted in the database.
    pub published: UnboundedSender<Published>,
    pub media_host: MediaHost,
    pub reconciled: watch::Sender<Reconciled>,
    pub replaced: Replaced,
    pub consuming: watch::Sender<Consuming>,
    /// Whether the database takes writes.
    pub database: watch::Sender<Database>,
    pub copies: Copies,
    pub in_flight: InFlight,
    pub isolation: Isolation,
    pub slots: Slots,
    /// The jobs that run here.
    pub runs: Runs,
    /// What this worker is told. `None`: it does not know yet, and takes nothing.
    pub orders: watch::Sender<Option<Orders>>,
    pub wanted: Wanted,
    /// What lay in the spool at the last sweep.
    pub spool_use: watch::Sender<Option<SpoolUse>>,
    /// What metrics tell of the database and of the broker.
    pub gauges: (store::Gauges, broker::Gauges),
    /// One task for each delivery.
    pub deliveries: TaskTracker,
    pub stop: Stop,
}

impl Context {
    /// Whether it was told to take no deliveries.
    pub(crate) fn is_drained(&self) -> bool {
        self.orders.borrow().as_ref().is_some_and(|orders| orders.drain)
    }
}

/// Whether deliveries flow, and since when they do or do not.
#[derive(Debug, Clone)]
pub(crate) struct Consuming {
    pub status: ConsumerStatus,
    pub since: Instant,
}

impl Consuming {
    pub(crate) fn new(status: ConsumerStatus) -> Self {
        Self { status, since: Instant::now() }
    }
}

/// The steps of ending.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// Take nothing new, finish what runs. A child of `now`.
    pub soon: CancellationToken,
    /// Leave everything to others.
    pub now: CancellationToken,
    /// Drop everything where it stands.
    pub dead: CancellationToken,
    /// Something panicked that must not: the worker ends, and others take over.
    pub defect: CancellationToken,
}

impl Stop {
    pub(crate) fn new() -> Self {
        let now = CancellationToken::new();
        Self { soon: now.child_token(), now, dead: CancellationToken::new(), defect: CancellationToken::new() }
    }
}
