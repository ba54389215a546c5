//! One test's environment: a database, a virtual host, a spool and a media host that no other test sees.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use broker::DeadLetter;
use cloudinary_local::{Account, Handle};
use mongodb::Database;
use secrecy::SecretString;
use spool::Spool;
use store::Store;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};
use uuid::Uuid;

use crate::client::{Client, PASSWORD, PATIENCE};
use crate::databases;
use crate::secrets;
use crate::services::{Services, VirtualHost};

/// The secret that test APIs sign access tokens with.
pub const ACCESS_TOKEN_SECRET: &str = "the-secret-of-every-test-0123456789";

/// The secret that test APIs sign refresh tokens with.
pub const REFRESH_TOKEN_SECRET: &str = "the-other-secret-of-every-test-0123456789";

/// The secret of the account at the media host, by which it signs notifications.
pub const CLOUDINARY_SECRET: &str = "the-secret-of-every-account-0123456789";

/// What is looked through for secrets: all that the programs can log but for the crumbs of every frame and poll. By what the
/// sweeper says a test counts its turns.
const WATCHED: &str = "info,lapin=off,api=debug,worker=debug,worker::maintenance::sweeper=trace,store=debug,broker=debug,\
                       spool=debug,cloudinary=debug,cloudinary_local=debug";

/// See the module. End it with [`TestEnv::finish`], which fails the test if anything is left in it.
#[derive(Debug)]
pub struct TestEnv {
    name: String,
    services: Services,
    host: VirtualHost,
    store_config: store::Config,
    store: Store,
    mongodb: mongodb::Client,
    database: Database,
    /// Of the database at the start.
    shape: databases::Shape,
    spool: Spool,
    media: cloudinary_local::Running,
    folder: TempDir,
}

/// What a test expects to be left at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leftovers {
    pub dead_letters: usize,
    /// Files in the spool: those of discarded jobs that can be redriven.
    pub files: usize,
}

impl TestEnv {
    /// RabbitMQ and MongoDB are those that `cargo xtask test` started.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With another configuration of the store, in the workers too.
    pub async fn start_with(change: impl FnOnce(&mut store::Config)) -> Self {
        Self::make(Services::from_env(), change).await
    }

    /// On services of the test's own, which it may kill.
    pub async fn start_on(services: Services) -> Self {
        Self::make(services, |_| {}).await
    }

    async fn make(services: Services, change: impl FnOnce(&mut store::Config)) -> Self {
        trace();
        secrets::keep("the secret of access tokens", ACCESS_TOKEN_SECRET);
        secrets::keep("the secret of refresh tokens", REFRESH_TOKEN_SECRET);
        secrets::keep("the secret of the media host", CLOUDINARY_SECRET);
        secrets::keep("a user's password", PASSWORD);
        let name = format!("test-{}", Uuid::new_v4().simple());
        let folder = tempfile::Builder::new().prefix("steep-").tempdir().expect("a temporary folder");
        let mongodb = mongodb::Client::with_uri_str(&services.mongodb).await.expect("an address of ours");
        let (host, database) = tokio::join!(VirtualHost::create(&services, &name), databases::take(&mongodb));
        let uri = SecretString::from(services.mongodb.clone());
        let mut store_config = store::Config::new(uri, database.name(), "testkit").expect("an address of ours");
        change(&mut store_config);
        let store = Store::connect(&store_config).await.expect("a database");
        store.ensure_indexes().await.expect("indexes");
        let shape = databases::shape_of(&database).await;
        let spool = Spool::open(&folder.path().join("spool"), None).expect("a spool");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let mut media = cloudinary_local::Config::new(folder.path().join("media"));
        media.admin = true;
        media.accounts = vec![Account::new("demo", "1234", CLOUDINARY_SECRET)];
        let media = cloudinary_local::Server::start(media, listener).await.expect("a media host");
        Self { name, services, host, store_config, store, mongodb, database, shape, spool, media, folder }
    }

    /// Starts an API in this process, on a port of its own.
    pub async fn api(&self) -> Api {
        self.api_with(&[]).await
    }

    /// Starts an API with further command-line arguments, such as `--avatar-max-bytes=1000`, which win over the
    /// environment's.
    pub async fn api_with(&self, args: &[&str]) -> Api {
        let given = |flag: &str| args.iter().any(|arg| arg.split('=').next() == Some(flag));
        let settings = self.api_settings().into_iter().map(|(name, value)| (flag(name), value));
        let settings = settings.filter(|(flag, _)| !given(flag)).map(|(flag, value)| format!("{flag}={value}"));
        let mut line = vec!["api".to_owned()];
        line.extend(settings);
        line.extend(args.iter().map(|&arg| arg.to_owned()));
        let config = <api::Config as clap::Parser>::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
        let running = api::start(config).await.expect("an api");
        let client = Client::new(&format!("http://{}", running.address()));
        // Not until it calls itself ready: a test may want it without a broker, or with a spool that is too full.
        Self::until("the api has its database", || async {
            client.get("/readyz").await.body["dependencies"]["mongodb"]["state"] == "up"
        })
        .await;
        Api { running, client }
    }

    /// The variables of an API process.
    pub fn api_settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = self.shared_settings();
        settings.extend([
            ("STEEP_ENV", "development".to_owned()),
            ("PORT", "0".to_owned()),
            ("ACCESS_TOKEN_SECRET", ACCESS_TOKEN_SECRET.to_owned()),
            ("REFRESH_TOKEN_SECRET", REFRESH_TOKEN_SECRET.to_owned()),
            ("CLOUDINARY_URL", self.media.cloudinary_url()),
            // All tests come from one address, and many sign in for anything but its own sake.
            ("LOGIN_LIMIT_ADDRESS", "100000/15m".to_owned()),
            ("LOGIN_LIMIT_ACCOUNT", "100000/15m".to_owned()),
            ("LOGIN_LIMIT_STRANGERS", "100000/15m".to_owned()),
            ("REGISTER_LIMIT_ADDRESS", "100000/15m".to_owned()),
        ]);
        settings
    }

    /// The variables of a worker process.
    pub fn worker_settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = self.shared_settings();
        settings.push(("CLOUDINARY_URL", self.media.cloudinary_url()));
        settings
    }

    fn shared_settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("MONGODB_URI", self.services.mongodb.clone()),
            ("MONGODB_DATABASE", self.database.name().to_owned()),
            ("RABBITMQ_URL", self.host.url()),
            ("SPOOL_DIR", self.folder.path().join("spool").display().to_string()),
            // Receivers of webhooks are this machine's own.
            ("WEBHOOK_ALLOW_PRIVATE", "true".to_owned()),
        ]
    }

    /// Starts a worker in this process.
    pub async fn worker(&self) -> worker::Running {
        self.worker_with(|_| {}).await
    }

    /// Starts a worker whose configuration the test may change: its retries take milliseconds.
    pub async fn worker_with(&self, change: impl FnOnce(&mut worker::Config)) -> worker::Running {
        let mut config = self.worker_config();
        change(&mut config);
        worker::start(config).await.expect("a worker")
    }

    /// The configuration of a worker.
    pub fn worker_config(&self) -> worker::Config {
        let mut cloudinary = cloudinary::Config::new("demo", "1234", CLOUDINARY_SECRET).expect("settings");
        cloudinary.upload_prefix = self.media.base_url().parse().expect("an address");
        cloudinary.timeout = Duration::from_secs(5);
        worker::Config {
            store: self.store_config.clone(),
            broker: self.broker(),
            cloudinary,
            spool: self.spool.clone(),
            settings: worker::Settings {
                retry: worker::RetryPolicy {
                    base: Duration::from_millis(10),
                    cap: Duration::from_millis(100),
                    operator_base: Duration::from_millis(50),
                    operator_cap: Duration::from_millis(200),
                },
                webhook_retry: worker::RetryPolicy {
                    base: Duration::from_millis(10),
                    cap: Duration::from_millis(100),
                    operator_base: Duration::from_millis(50),
                    operator_cap: Duration::from_millis(200),
                },
                // Receivers of webhooks are this machine's own.
                reach: outbound::Reach { allow_private: true },
                relay_every: Duration::from_millis(50),
                second_look: Duration::from_millis(200),
                sweep_second_look: Duration::from_millis(200),
                ..worker::Settings::default()
            },
        }
    }

    /// The name of its virtual host.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The documents as they are, for what the store does not offer.
    pub fn database(&self) -> &Database {
        &self.database
    }

    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// The media host's inside: faults, stored assets, traffic.
    pub fn media(&self) -> &Handle {
        self.media.handle()
    }

    pub fn host(&self) -> &VirtualHost {
        &self.host
    }

    /// A folder that goes with the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The broker's address, for a publisher or consumer of the test's own.
    pub fn broker(&self) -> broker::Config {
        broker::Config::new(&self.host.url(), "test").expect("an address of ours")
    }

    /// How many files lie in the spool, received or being received.
    pub fn spooled_files(&self) -> usize {
        self.spooled().len()
    }

    /// The names of the files in the spool, received or being received.
    pub fn spooled(&self) -> Vec<String> {
        let areas = ["incoming", "ready"].map(|area| self.folder.path().join("spool").join(area));
        let entries = areas.iter().flat_map(|area| std::fs::read_dir(area).expect("an area"));
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    /// What lies in the dead-letter queue.
    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let admin = broker::Admin::connect(&self.broker()).await.expect("the broker answers");
            // A queue that was declared a moment ago has no leader yet, and the broker closes the connection of whoever asks for it.
            match admin.dead_letters(100).await {
                Ok(letters) => {
                    admin.close().await;
                    return letters;
                }
                Err(cause) => assert!(Instant::now() < deadline, "the broker answers: {cause}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition().await {
            assert!(Instant::now() < deadline, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until no job's message waits or is being worked on.
    pub async fn until_quiet(&self) {
        Self::until("the queues are empty", async || self.host.job_messages().await == 0).await;
    }

    /// Waits for quiet and asserts that nothing is left: no unfinished job, no file, no message, no dead letter. Then removes
    /// everything, and asserts that nothing [secret](crate::secrets) was shown.
    pub async fn finish(self) {
        self.finish_with(Leftovers::default()).await;
    }

    /// As [`TestEnv::finish`], with leftovers that the test is about.
    pub async fn finish_with(self, expected: Leftovers) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let jobs = self.store.jobs().queue_ages().await.expect("the database answers");
            let files = self.spooled_files();
            if jobs.is_empty() && files == expected.files {
                break;
            }
            assert!(Instant::now() < deadline, "left over: {files} files (expected {}), jobs {jobs:?}", expected.files);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.until_quiet().await;
        let dead = self.dead_letters().await;
        assert_eq!(dead.len(), expected.dead_letters, "dead letters: {dead:?}");
        // A program that died in a transaction leaves it open for a while.
        let (mongodb, database, shape) = (&self.mongodb, &self.database, &self.shape);
        let left = async || databases::leave(mongodb, database, shape).await.is_ok();
        tokio::join!(self.host.delete(), Self::until("the database is left", left));
        self.media.stop().await.expect("the media host stops");
        secrets::assert_kept();
    }
}

/// An API in this process, and a client of it.
#[derive(Debug)]
pub struct Api {
    pub running: api::Running,
    client: Client,
}

impl Api {
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Stops it as SIGTERM would.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

impl std::ops::Deref for Api {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

fn flag(variable: &str) -> String {
    format!("--{}", variable.to_ascii_lowercase().replace('_', "-"))
}

/// Logs of the programs under test go where the test runner shows them if the test fails; `RUST_LOG` chooses. More of them is
/// looked through for [`secrets`].
fn trace() {
    let shown = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,lapin=off".into());
    let shown = fmt::layer().with_test_writer().with_filter(shown);
    let watched = fmt::layer().with_ansi(false).with_writer(|| secrets::Log).with_filter(EnvFilter::new(WATCHED));
    // Fails when another test of this process has done it.
    let _ = tracing_subscriber::registry().with(shown).with(watched).try_init();
}
