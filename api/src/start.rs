//! Starting and stopping the program.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::Publisher;
use ipnet::IpNet;
use outbound::Resolver;
use store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Auth, party};
use crate::config::{Config, Http, NAME, SignIn};
use crate::http::server;
use crate::routes::{DeadLetters, Hub, Metrics, StreamLimits, Writes};
use crate::state::{App, Parts};
use crate::uploads::{Uploads, publishing};
use crate::{Error, pages, routes};

/// How long background work may go on after the server has stopped.
const STOP_TASKS: Duration = Duration::from_secs(3);
/// Hosts of webhooks that are looked up at once.
const LOOK_UPS: usize = 8;
const RETRY: Duration = Duration::from_secs(1);
/// How often the database is asked what time it is.
const ASK_THE_TIME_EVERY: Duration = Duration::from_secs(5);

/// A program that serves. Dropping it without [`Running::stop`] leaves it running with the runtime.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    app: App,
    stop: CancellationToken,
    server: JoinHandle<()>,
    metrics: Option<Metrics>,
    tasks: TaskTracker,
}

impl Running {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/metrics` is served.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|metrics| metrics.address)
    }

    /// Stops: accepts no new connections, lets requests end within `SHUTDOWN_TIMEOUT`, and publishes what was accepted
    /// if the broker takes it soon.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.server.await {
            tracing::error!(%error, "the server panicked");
        }
        self.tasks.close();
        // What is not done by then is left to the relay and the sweeper.
        if tokio::time::timeout(STOP_TASKS, self.tasks.wait()).await.is_err() {
            tracing::warn!("background work did not end in time");
        }
        self.app.store.close().await;
    }
}

impl program::Running for Running {
    async fn stop(self, hurry: impl Future<Output = ()>) {
        tokio::select! {
            () = Self::stop(self) => {}
            () = hurry => tracing::warn!("stopped in the middle of requests"),
        }
    }
}

/// Starts the program: checks the settings, listens, and connects to MongoDB and RabbitMQ in the background, for as
/// long as that takes. Only the name of a `mongodb+srv` address is waited for; `/healthz` is served meanwhile. If
/// a setting cannot work or the address cannot be listened on, nothing is left running.
pub async fn start(config: Config) -> Result<Running, Error> {
    config.check()?;
    let store_config = config.store()?;
    let notifications = config.notifications.verifier(config.is_development())?;
    let spool = config.spool.open()?;
    let default_host = if config.is_development() { [127, 0, 0, 1] } else { [0, 0, 0, 0] };
    let (host, port) = (config.http.host.unwrap_or(default_host.into()), config.http.port);
    let listener = TcpListener::bind((host, port)).await.map_err(|cause| Error::Listen { host, port, cause })?;
    let address = listener.local_addr().map_err(Error::Runtime)?;
    // Before anything that is measured.
    let metrics = match config.http.metrics_listen {
        Some(address) => Some(Metrics::start(address).await?),
        None => None,
    };
    let store = connect(&config, &store_config, &listener).await?;
    let publisher = Publisher::start(&config.broker.clone().named(NAME));

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let (publishing, jobs) = publishing::channel();
    let app = App(Arc::new(Parts {
        auth: Arc::new(Auth::new(&config, store.clone())?),
        uploads: Uploads::new(store.clone(), spool, publishing, config.limits.clone(), tasks.clone())?,
        public_url: config.http.public_url.clone().unwrap_or_else(|| format!("http://localhost:{}", address.port())),
        dead_letters: DeadLetters::new(config.broker.clone().named("steep-api-admin")),
        resolver: Resolver::system(config.reach, LOOK_UPS),
        tasks: tasks.clone(),
        has_indexes: AtomicBool::new(false),
        writes: Writes::new(),
        events: Hub::new(StreamLimits {
            of_user: config.limits.user_max_streams,
            // A stream keeps its connection: the other half is for everything else.
            of_all: (config.http.max_connections / 2).max(1),
        }),
        notifications,
        gauges: Default::default(),
        store,
        publisher,
    }));
    warn_about(&config);
    if let Some(metrics) = &metrics {
        metrics.started(&app, &stop);
    }

    tasks.spawn(publishing::run(app.store.clone(), app.publisher.clone(), jobs, stop.clone()));
    tasks.spawn(stop.clone().run_until_cancelled_owned(make_indexes(app.clone())));
    tasks.spawn(stop.clone().run_until_cancelled_owned(follow_clock(app.store.clone())));
    tasks.spawn(app.uploads.clone().measure(stop.clone()));
    tasks.spawn(stop.clone().run_until_cancelled_owned(watch_writes(app.clone())));
    tasks.spawn(routes::follow_events(app.clone(), stop.clone()));
    let routes = routes::router(app.clone(), pages::router(&app), &config);
    let party = counted_as(&config.sign_in);
    let server = tokio::spawn(server::serve(listener, routes, config.http, party, stop.clone().cancelled_owned()));
    let at = metrics.as_ref().map(|metrics| metrics.address);
    tracing::info!(%address, metrics = ?at, spool = %app.uploads.spool.id(), "listening");
    Ok(Running { address, app, stop, server, metrics, tasks })
}

/// As what connections of an address are counted. Those of proxies are not.
fn counted_as(settings: &SignIn) -> impl Fn(IpAddr) -> Option<String> + Send + use<> {
    let proxies: Vec<IpNet> = settings.proxies().collect();
    move |address| (!proxies.iter().any(|network| network.contains(&address))).then(|| party(address))
}

fn warn_about(config: &Config) {
    if !config.is_development() && config.http.public_url.is_none() {
        tracing::warn!("PUBLIC_URL is not set: addresses in answers begin with http://localhost and work only here");
    }
    if config.http.allows_any_origin() {
        tracing::warn!(
            "CORS_ORIGIN has *: pages on any origin may call, but without cookies; list the ones that need them"
        );
    }
}

/// Prepares the connection. Only a `mongodb+srv` address takes time: while no name server resolves it, `listener` is
/// served, and [`routes::starting`] tells that the process lives.
async fn connect(config: &Config, store: &store::Config, listener: &TcpListener) -> Result<Store, Error> {
    // Another handle of the same socket.
    let listener = listener.as_fd().try_clone_to_owned().and_then(|socket| TcpListener::from_std(socket.into()));
    let connected = CancellationToken::new();
    let connecting = async {
        let store = resolve(store).await;
        connected.cancel();
        store
    };
    let routes = routes::starting(config);
    // What is served meanwhile takes no time, so nothing is worth waiting for.
    let http = Http {
        request_head_timeout: Duration::from_secs(10),
        shutdown_timeout: Duration::from_secs(1),
        ..config.http.clone()
    };
    let party = counted_as(&config.sign_in);
    let meanwhile = server::serve(listener.map_err(Error::Runtime)?, routes, http, party, connected.cancelled());
    // In this order: an address that needs no name server is ready before anybody is served.
    let (store, ()) = tokio::join!(biased; connecting, meanwhile);
    Ok(store?)
}

async fn resolve(config: &store::Config) -> Result<Store, store::Error> {
    loop {
        match Store::connect(config).await {
            Err(error) if error.is_transient() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot resolve MONGODB_URI yet; until then requests are answered with 503"
                );
                tokio::time::sleep(RETRY).await;
            }
            result => return result,
        }
    }
}

/// Makes the indexes as soon as the database answers. Until then nobody can register, because nothing would keep two
/// users from having one name.
async fn make_indexes(app: App) {
    while let Err(error) = app.store.ensure_indexes().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "waiting for mongodb; requests that need it are answered with 503"
        );
        tokio::time::sleep(RETRY).await;
    }
    app.has_indexes.store(true, Ordering::Release);
    tracing::info!("mongodb is ready");
}

/// Follows the database's clock, which may be set, or be another machine's after a failover. While it does not answer, the time
/// goes on by a clock that nobody sets.
async fn follow_clock(store: Store) {
    loop {
        if let Err(error) = store.ping().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "mongodb does not say what time it is");
        }
        tokio::time::sleep(ASK_THE_TIME_EVERY).await;
    }
}

async fn watch_writes(app: App) {
    app.writes.watch(&app.store).await;
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[tokio::test]
    async fn while_no_name_server_knows_the_database_it_lives_and_takes_no_requests() {
        let uri = "--mongodb-uri=mongodb+srv://nowhere.invalid/";
        let config = Config::try_parse_from(["api", "--steep-env=development", uri]).expect("settings");
        let store = config.store().expect("settings");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let connecting = tokio::spawn(async move { connect(&config, &store, &listener).await });

        for (path, status) in [("/healthz", 200), ("/readyz", 503), ("/api/v1/users/current-user", 503)] {
            let answer = reqwest::get(format!("{url}{path}")).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status, "{path}");
        }
        tokio::time::sleep(2 * RETRY).await;
        assert!(!connecting.is_finished(), "{:?}", connecting.await);
        assert_eq!(reqwest::get(format!("{url}/healthz")).await.expect("an answer").status().as_u16(), 200);
        connecting.abort();
    }
}
