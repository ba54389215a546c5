//! Starting and stopping the program.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use broker::Publisher;
use store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{AccessTokens, Passwords, RefreshTokens};
use crate::config::{Config, Environment};
use crate::http::server::{self, ServeOptions};
use crate::state::{App, Inner};
use crate::uploads::admission::{self, Pressure};
use crate::uploads::publishing;
use crate::{Error, routes};

/// How long background work may go on after the server has stopped.
const STOP_TASKS: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_secs(1);
/// What is served meanwhile takes no time, so that nothing is worth waiting for.
const MEANWHILE: ServeOptions = ServeOptions {
    max_connections: 256,
    head_timeout: Duration::from_secs(10),
    shutdown_timeout: Duration::from_secs(1),
};

/// A program that serves. Dropping it without [`Running::stop`] leaves it running with the runtime.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    app: App,
    stop: CancellationToken,
    server: JoinHandle<()>,
    tasks: TaskTracker,
}

impl Running {
    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its state, for tests.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Stops: no new connections, requests end within [`Config::shutdown_timeout`], what was accepted is published if that
    /// is possible soon.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.server.await {
            tracing::error!(%error, "the server did not end as it should");
        }
        self.tasks.close();
        // What is not done by then is left to the relay and the sweeper.
        if tokio::time::timeout(STOP_TASKS, self.tasks.wait()).await.is_err() {
            tracing::warn!("background work did not end in time");
        }
        self.app.store().close().await;
    }
}

/// Starts the program: checks what can be checked at once, listens, and connects to MongoDB and RabbitMQ in the background,
/// for as long as that takes. Only the name of a `mongodb+srv` address is waited for; `/healthz` is served meanwhile.
///
/// # Errors
///
/// [`Error`] for a setting that cannot work or an address that cannot be listened on. Nothing is left running then.
pub async fn start(config: Config) -> Result<Running, Error> {
    let spool = config.spool.open()?;
    let listener = TcpListener::bind((config.host, config.port)).await.map_err(|cause| Error::Listen {
        host: config.host,
        port: config.port,
        cause,
    })?;
    let address = listener.local_addr().map_err(Error::Runtime)?;
    let sign_in = &config.sign_in;
    let passwords = Passwords::start(sign_in.password_threads, sign_in.password_queue).map_err(Error::Runtime)?;
    let store = connect(&config, &listener).await?;
    let publisher = Publisher::start(&config.broker);

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let (publishing, jobs) = publishing::channel();
    let app = App {
        inner: Arc::new(Inner {
            pressure: Pressure::new(&spool)?,
            tokens: AccessTokens::new(&sign_in.access_token_secret, sign_in.access_token_expiry)
                .accepting_also(sign_in.previous_access_token_secret.as_ref()),
            refresh_tokens: RefreshTokens::new(sign_in),
            sign_in_limits: sign_in.limits.clone(),
            trusted_proxies: sign_in.trusted_proxies.clone(),
            limits: config.limits.clone(),
            public_url: config.public_url.clone().unwrap_or_else(|| format!("http://localhost:{}", address.port())),
            same_site: config.cookie_same_site.into(),
            store,
            spool,
            publisher,
            publishing,
            passwords,
            tasks: tasks.clone(),
        }),
    };
    warn_about(&config);

    tasks.spawn(publishing::run(app.store().clone(), app.publisher().clone(), jobs, stop.clone()));
    tasks.spawn(make_indexes(app.clone(), stop.clone()));
    tasks.spawn(admission::watch(app.clone(), stop.clone()));
    let options = ServeOptions {
        max_connections: config.max_connections,
        head_timeout: config.request_head_timeout,
        shutdown_timeout: config.shutdown_timeout,
    };
    let routes = routes::router(app.clone(), &config);
    let server = tokio::spawn(server::serve(listener, routes, options, stop.clone().cancelled_owned()));
    tracing::info!(%address, spool = %app.spool().id(), "listening");
    Ok(Running { address, app, stop, server, tasks })
}

fn warn_about(config: &Config) {
    if config.environment == Environment::Production && config.public_url.is_none() {
        tracing::warn!("PUBLIC_URL is not set: addresses in answers begin with http://localhost and work only here");
    }
    if config.cors_origins.iter().any(|origin| origin == "*") {
        tracing::warn!(
            "CORS_ORIGIN has *: pages on any origin may call, but without cookies; list the ones that need them"
        );
    }
}

/// Prepares the connection. Only a `mongodb+srv` address takes time: while no name server resolves it, `listener` is served,
/// and [`routes::starting`] tells that the process lives.
async fn connect(config: &Config, listener: &TcpListener) -> Result<Store, Error> {
    let listener = same(listener).map_err(Error::Runtime)?;
    let connected = CancellationToken::new();
    let connecting = async {
        let store = resolve(&config.store).await;
        connected.cancel();
        store
    };
    let meanwhile = server::serve(listener, routes::starting(config), MEANWHILE, connected.cancelled());
    // In this order: an address that needs no name server is ready before anybody is served.
    let (store, ()) = tokio::join!(biased; connecting, meanwhile);
    Ok(store?)
}

/// Another handle of a socket.
fn same(listener: &TcpListener) -> std::io::Result<TcpListener> {
    TcpListener::from_std(listener.as_fd().try_clone_to_owned()?.into())
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

/// Makes the indexes as soon as the database answers. Until then nobody can register, because nothing would keep two users
/// from having one name.
async fn make_indexes(app: App, stop: CancellationToken) {
    loop {
        match app.store().ensure_indexes().await {
            Ok(()) => {
                app.pressure().database_is_prepared();
                tracing::info!("mongodb is ready");
                return;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "waiting for mongodb; requests that need it are answered with 503");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[tokio::test]
    async fn while_no_name_server_knows_the_database_it_lives_and_takes_no_requests() {
        let uri = "--mongodb-uri=mongodb+srv://nowhere.invalid/";
        let args = crate::Args::try_parse_from(["api", "--steep-env=development", uri]).expect("arguments");
        let config = Config::from_args(args).expect("settings");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let connecting = tokio::spawn(async move { connect(&config, &listener).await });

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
