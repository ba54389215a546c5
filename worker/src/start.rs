//! Starting a worker, keeping its parts going, and ending it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use broker::{ConsumerStatus, Publisher};
use outbound::Resolver;
use program::BoxError;
use spool::Spool;
use store::Store;
use tokio::sync::mpsc::{channel, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::context::{Consuming, Context, Stop};
use crate::delivery::{Copies, InFlight, Isolation, Runs, Slots, Wanted, receive, wanted};
use crate::error::in_full;
use crate::health::{self, Readiness};
use crate::identity::{application, name};
use crate::maintenance::{
    Reconciled, Replaced, coalescer, database_gate, publishing, reconciler, relay, rollups, sign_of_life, sweeper,
};
use crate::media_host::MediaHost;
use crate::metrics;
use crate::supervisor::Supervisor;
use crate::{Error, Settings};

/// After the deadline: how long releasing jobs and closing connections may take.
const LAST_RITES: Duration = Duration::from_secs(5);
/// Hosts of webhooks that are looked up at once.
const LOOK_UPS: usize = 16;

/// Everything a worker needs to know, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub store: store::Config,
    pub broker: broker::Config,
    pub cloudinary: cloudinary::Config,
    pub spool: Spool,
    pub settings: Settings,
}

/// A worker that runs until it is shut down. Dropping it stops everything at once, as a crash would.
pub struct Running {
    context: Arc<Context>,
    supervisor: Supervisor,
    health: Option<SocketAddr>,
}

/// Starts a worker. It does not wait for broker, database or media host: it works as soon as they are there, and
/// readiness tells what is missing. Only the name of a `mongodb+srv` address is waited for; `/healthz` is
/// served meanwhile.
pub async fn start(config: Config) -> Result<Running, Error> {
    let Config { store, broker, cloudinary, spool, settings } = config;
    settings.check()?;
    let media = cloudinary::Client::new(cloudinary)?;
    let webhooks = outbound::Client::new(Resolver::system(settings.reach, LOOK_UPS))?;
    let listener = match settings.health {
        Some(address) => Some(health::bind(address).await?),
        None => None,
    };
    let health = listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let stop = Stop::new();
    let mut supervisor = Supervisor::default();
    // Served before there is a database to speak of: the process lives.
    let served = Arc::new(OnceLock::new());
    if let Some(listener) = listener {
        metrics::record();
        supervisor.run("the upkeep of metrics", metrics::upkeep(stop.now.clone()));
        let serving = health::serve(listener, Arc::clone(&served), stop.now.clone());
        supervisor.run("the health endpoint", serving);
    }
    let worker = name();
    let store = connect(&store.named(&application(&worker))).await?;
    let just_started = ConsumerStatus::Waiting { why: "just started".to_owned() };
    let (outbox, waiting) = channel(publishing::WAITING);
    let (published, noted) = unbounded_channel();
    let context = Arc::new(Context {
        worker,
        settings,
        store,
        spool,
        asking_spool: Arc::new(Semaphore::new(1)),
        media,
        webhooks,
        publisher: Publisher::start(&broker),
        broker,
        outbox,
        published,
        media_host: MediaHost::default(),
        reconciled: watch::Sender::default(),
        replaced: Replaced::default(),
        consuming: watch::Sender::new(Consuming::new(just_started)),
        database: watch::Sender::default(),
        copies: Copies::default(),
        in_flight: InFlight::default(),
        isolation: Isolation::default(),
        slots: Slots::default(),
        runs: Runs::default(),
        orders: watch::Sender::default(),
        wanted: Wanted::default(),
        spool_use: watch::Sender::default(),
        gauges: Default::default(),
        deliveries: TaskTracker::new(),
        stop,
    });
    // Set once, here.
    let _ = served.set(Arc::clone(&context));

    let shared = || Arc::clone(&context);
    let soon = || context.stop.soon.clone();
    supervisor.run("the watch over the database", database_gate::watch(shared()));
    let now = context.stop.now.clone();
    supervisor.run("the watch over attempts", now.run_until_cancelled_owned(wanted::watch(shared())));
    supervisor.run("the sign of life", sign_of_life::run(shared()));
    supervisor.run("the publishing of outcomes", publishing::run(shared(), waiting, noted));
    supervisor.run("the relay", soon().run_until_cancelled_owned(relay::run(shared())));
    supervisor.run("the coalescer", soon().run_until_cancelled_owned(coalescer::run(shared())));
    supervisor.run("the reconciler", soon().run_until_cancelled_owned(reconciler::run(shared())));
    supervisor.run("the rollups", soon().run_until_cancelled_owned(rollups::run(shared())));
    supervisor.run("the sweeper", soon().run_until_cancelled_owned(sweeper::run(shared())));
    supervisor.run("the consumer", receive::run(shared()));
    tracing::info!(worker = context.worker, spool = %context.spool.id(), health = ?health, "started");
    Ok(Running { context, supervisor, health })
}

impl Running {
    /// The worker's name, as claims and attempts carry it.
    pub fn name(&self) -> &str {
        &self.context.worker
    }

    pub fn health(&self) -> Option<SocketAddr> {
        self.health
    }

    /// Blocks for as long as the spool's volume does.
    pub fn readiness(&self) -> Readiness {
        health::readiness(&self.context, health::spool_state(&self.context.spool))
    }

    pub fn reconciled(&self) -> Reconciled {
        *self.context.reconciled.borrow()
    }

    /// Takes no more deliveries, finishes what runs within [`Settings::shutdown_limit`], releases the rest, and closes the
    /// connections. When `hurry` completes, what runs is released at once.
    pub async fn shutdown(mut self, hurry: impl Future<Output = ()>) {
        let context = &self.context;
        let limit = context.settings.shutdown_limit;
        tracing::info!(running = context.deliveries.len(), ?limit, "stopping: finishing what runs");
        context.stop.soon.cancel();
        tokio::select! {
            () = finished(context) => {}
            () = tokio::time::sleep(limit) => tracing::warn!("out of time: releasing what runs"),
            () = hurry => tracing::warn!("releasing what runs"),
        }
        context.stop.now.cancel();
        if timeout(LAST_RITES, context.deliveries.wait()).await.is_err() {
            tracing::warn!(running = context.deliveries.len(), "could not release everything: leases will run out");
        }
        let closed = async {
            self.supervisor.all_ended().await;
            context.publisher.close().await;
            context.store.close().await;
        };
        if timeout(LAST_RITES, closed).await.is_err() {
            tracing::warn!("connections are left to be noticed as gone");
        }
        tracing::info!("stopped");
    }
}

/// Waits for name servers too, if the address needs them.
pub(crate) async fn connect(config: &store::Config) -> Result<Store, Error> {
    loop {
        match Store::connect(config).await {
            Err(cause) if cause.is_transient() => {
                tracing::warn!(cause = in_full(&cause), "waiting for mongodb (MONGODB_URI)");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            connected => return Ok(connected?),
        }
    }
}

/// Waits until nothing is taken any more and nothing runs.
async fn finished(context: &Context) {
    let mut consuming = context.consuming.subscribe();
    // Fails only if the context is gone, and we hold it.
    let _ = consuming.wait_for(|consuming| consuming.status == ConsumerStatus::Stopped).await;
    context.deliveries.wait().await;
}

impl program::Running for Running {
    async fn ended(&mut self) -> BoxError {
        self.supervisor.ended().await.into()
    }

    async fn stop(self, hurry: impl Future<Output = ()>) {
        self.shutdown(hurry).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.context.stop.dead.cancel();
    }
}
