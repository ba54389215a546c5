//! What every handler works with, and the program around it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum_extra::extract::cookie::SameSite;
use broker::Publisher;
use messages::{AssetId, JobId};
use spool::Spool;
use store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{AccessTokens, Passwords, RefreshTokens, TrustedProxies};
use crate::config::{Config, Environment, Limits, SignInLimits};
use crate::pressure::Pressure;
use crate::publishing::Publishing;
use crate::server::{self, ServeOptions};
use crate::{Error, prepare, pressure, publishing, router};

/// The state of the program. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    spool: Spool,
    publisher: Publisher,
    publishing: Publishing,
    passwords: Passwords,
    tokens: AccessTokens,
    refresh_tokens: RefreshTokens,
    sign_in_limits: SignInLimits,
    trusted_proxies: TrustedProxies,
    pressure: Pressure,
    limits: Limits,
    public_url: String,
    same_site: SameSite,
    tasks: TaskTracker,
}

impl App {
    /// The database.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The spool that uploads go to.
    pub fn spool(&self) -> &Spool {
        &self.inner.spool
    }

    /// The connection to the broker.
    pub fn publisher(&self) -> &Publisher {
        &self.inner.publisher
    }

    pub(crate) fn publishing(&self) -> &Publishing {
        &self.inner.publishing
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.inner.passwords
    }

    pub(crate) fn tokens(&self) -> &AccessTokens {
        &self.inner.tokens
    }

    pub(crate) fn refresh_tokens(&self) -> &RefreshTokens {
        &self.inner.refresh_tokens
    }

    pub(crate) fn sign_in_limits(&self) -> &SignInLimits {
        &self.inner.sign_in_limits
    }

    pub(crate) fn trusted_proxies(&self) -> &TrustedProxies {
        &self.inner.trusted_proxies
    }

    pub(crate) fn pressure(&self) -> &Pressure {
        &self.inner.pressure
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Work that must end even if the client that began it has gone.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }

    /// With which requests from other sites browsers send the session's cookies.
    pub(crate) fn same_site(&self) -> SameSite {
        self.inner.same_site
    }

    /// Whether clients reach us over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.inner.public_url.starts_with("https:")
    }

    /// The address of an asset, which works from the moment it is accepted.
    pub fn media_url(&self, asset: AssetId) -> String {
        format!("{}/api/v1/media/{asset}", self.inner.public_url)
    }

    /// The address of a job.
    pub fn job_url(&self, job: JobId) -> String {
        format!("{}/api/v1/jobs/{job}", self.inner.public_url)
    }
}

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

const STOP_TASKS: std::time::Duration = std::time::Duration::from_secs(3);

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
    let store = prepare::connect(&config, &listener).await?;
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
    tasks.spawn(prepare::indexes(app.clone(), stop.clone()));
    tasks.spawn(pressure::watch(app.clone(), stop.clone()));
    let options = ServeOptions {
        max_connections: config.max_connections,
        head_timeout: config.request_head_timeout,
        shutdown_timeout: config.shutdown_timeout,
    };
    let routes = router(app.clone(), &config);
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
