//! Starting a worker, keeping its parts going, and ending it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use broker::{ConsumerStatus, Publisher};
use program::BoxError;
use spool::Spool;
use store::Store;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::context::{Consuming, Context, Stop};
use crate::delivery::{InFlight, Isolation, receive};
use crate::error::in_full;
use crate::health::{self, Readiness};
use crate::identity::{application, name};
use crate::maintenance::coalescer::Coalescer;
use crate::maintenance::database_gate;
use crate::maintenance::publishing::{self, Published};
use crate::maintenance::reconciler::{Reconciled, Reconciler, Tally};
use crate::maintenance::relay::Relay;
use crate::maintenance::sweeper::Sweeper;
use crate::media_host::MediaHost;
use crate::supervisor::Supervisor;
use crate::{Error, Settings, jobs};

/// After the deadline: how long giving jobs back and closing connections may take.
const LAST_RITES: Duration = Duration::from_secs(5);

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

/// Makes and starts workers.
#[derive(Debug)]
pub struct Worker;

impl Worker {
    /// Starts a worker. It does not wait for broker, database or media host: it works as soon as they are there, and
    /// readiness tells what is missing. Only the name of a `mongodb+srv` address is waited for; `/healthz` is
    /// served meanwhile.
    pub async fn start(config: Config) -> Result<Running, Error> {
        let Config { store, broker, cloudinary, spool, settings } = config;
        settings.check()?;
        let media = cloudinary::Client::new(cloudinary)?;
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
            let serving = health::serve(listener, Arc::clone(&served), stop.now.clone());
            supervisor.run("the health endpoint", serving);
        }
        let worker = name();
        let store = connect(&store.named(&application(&worker))).await?;
        let (up, database) = watch::channel(false);
        let (consuming, _) = watch::channel(Consuming::new(ConsumerStatus::Waiting { why: "just started".to_owned() }));
        let (published, noted) = Published::new();
        let context = Arc::new(Context {
            worker,
            settings,
            store: store.clone(),
            spool: spool.clone(),
            media,
            publisher: Publisher::start(&broker),
            published,
            media_host: MediaHost::default(),
            reconciled: Tally::default(),
            consuming,
            database,
            in_flight: InFlight::default(),
            isolation: Isolation::default(),
            deliveries: TaskTracker::new(),
            stop,
        });
        // Set once, here.
        let _ = served.set(Arc::clone(&context));

        let settings = &context.settings;
        let queues = jobs::queues(&spool, settings);
        let relay = Relay {
            publisher: context.publisher.clone(),
            store: store.clone(),
            published: context.published.clone(),
            queues: queues.iter().map(|queue| queue.name.clone()).collect(),
            every: settings.relay_every,
            look_for_lost_every: settings.look_for_lost_every,
            broker: broker.clone(),
            looked_for_lost: Instant::now(),
        };
        let coalescer = Coalescer {
            publisher: context.publisher.clone(),
            store: store.clone(),
            every: settings.look_for_changes_every,
        };
        let reconciler = Reconciler {
            store: store.clone(),
            worker: context.worker.clone(),
            pace: settings.pace(),
            every: settings.reconcile_every,
            sample: settings.reconcile_sample,
            tally: context.reconciled.clone(),
        };
        let sweeper = Sweeper { spool, store: store.clone(), every: settings.sweep_every, grace: settings.sweep_grace };

        let Stop { soon, now, .. } = context.stop.clone();
        supervisor.run("the watch over the database", database_gate::watch(store.clone(), up, now.clone()));
        let deliveries = context.deliveries.clone();
        supervisor.run("the notes of events", publishing::note(store.clone(), noted, deliveries, now.clone()));
        supervisor.run("the relay", relay.run(soon.clone()));
        supervisor.run("the coalescer", coalescer.run(soon.clone()));
        supervisor.run("the reconciler", reconciler.run(soon.clone()));
        supervisor.run("the sweeper", sweeper.run(soon));
        supervisor.run("the consumer", receive::run(Arc::clone(&context), broker, queues));
        tracing::info!(worker = context.worker, spool = %context.spool.id(), health = ?health, "started");
        Ok(Running { context, supervisor, health })
    }
}

impl Running {
    /// The worker's name, as claims and attempts carry it.
    pub fn name(&self) -> &str {
        &self.context.worker
    }

    /// Where `/healthz` and `/readyz` are served.
    pub fn health(&self) -> Option<SocketAddr> {
        self.health
    }

    /// What `/readyz` would answer now.
    pub async fn readiness(&self) -> Readiness {
        health::readiness(&self.context).await
    }

    /// What comparing stored counts with recounts has found so far.
    pub fn reconciled(&self) -> Reconciled {
        self.context.reconciled.read()
    }

    /// Takes no more deliveries, finishes what runs within [`Settings::shutdown_limit`], gives the rest back, and closes the
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
