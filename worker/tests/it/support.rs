//! A world of one's own for each test, and what there is to see in it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use broker::{Admin, DeadLetter, Publisher};
use bytes::Bytes;
use cloudinary_local::{Asset as HostAsset, Fault};
use messages::{AssetId, Envelope, Event, FileId, JobId, UserId, topology};
use secrecy::SecretString;
use serde_json::{Value, json};
use spool::Spool;
use store::{Asset, JobRecord, JobState, MediaType, NewUpload, NewUser, PasswordHash, ResourceType, Role, Store, User};
use tempfile::TempDir;
use tokio::net::TcpListener;
use uuid::Uuid;
use worker::{Config, RetryPolicy, Running, Settings, Worker};

/// How long anything may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The smallest GIF. What follows its end is ignored by whoever looks at it, and makes a file of its own of it.
const GIF: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00\x21\xf9\x04\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\
                     \x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

/// An accepted upload, of which the broker has not been told.
#[derive(Debug, Clone)]
pub struct Submitted {
    pub asset: AssetId,
    pub job: JobId,
    pub file: FileId,
    pub bytes: Vec<u8>,
}

/// Database, virtual host, spool and media host that no other test sees.
pub struct Env {
    pub name: String,
    pub folder: TempDir,
    pub store: Store,
    pub store_config: store::Config,
    pub spool: Spool,
    pub media: cloudinary_local::Running,
    pub publisher: Publisher,
    pub owner: UserId,
    http: reqwest::Client,
}

impl Env {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A world whose store is configured otherwise.
    pub async fn start_with(change: impl FnOnce(&mut store::Config)) -> Self {
        let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,lapin=off".into());
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let name = format!("test-{}", Uuid::new_v4().simple());
        let folder = tempfile::Builder::new().prefix("steep-").tempdir().expect("a folder");

        let mut store_config = store::Config::new(mongodb(), &name, "test").expect("an address");
        // Tests publish themselves; those about the relay let it be quicker.
        store_config.publish_grace = PATIENCE * 2;
        change(&mut store_config);
        let store = Store::connect(&store_config).await.expect("a client");
        store.ensure_indexes().await.expect("a database");
        let owner = store::new_user_id();
        let user = NewUser {
            id: owner,
            username: "ada".to_owned(),
            email: "ada@example.com".to_owned(),
            full_name: "Ada".to_owned(),
            password_hash: PasswordHash::from("$argon2id$none".to_owned()),
        };
        store.register(user, Vec::new(), None, None).await.expect("registered");

        let http = reqwest::Client::new();
        manage(&http, reqwest::Method::PUT, &format!("vhosts/{name}"), Value::Null).await;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        manage(&http, reqwest::Method::PUT, &format!("permissions/{name}/guest"), all).await;

        let spool = Spool::open(&folder.path().join("spool"), None).expect("a spool");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let media = cloudinary_local::Config::new(folder.path().join("media"));
        let media = cloudinary_local::Server::start(media, listener).await.expect("a media host");
        let publisher = Publisher::start(&broker(&rabbitmq(), &name));
        publisher.connected().await;
        Self { name, folder, store, store_config, spool, media, publisher, owner, http }
    }

    /// What a worker of this world is told: everything takes milliseconds.
    pub fn config(&self) -> Config {
        let cloudinary = cloudinary_config(&self.media.cloudinary_url());
        Config {
            store: self.store_config.clone(),
            broker: broker(&rabbitmq(), &self.name),
            cloudinary: cloudinary.with_timeout(Duration::from_secs(1), 1_000_000),
            spool: self.spool.clone(),
            settings: Settings {
                retry: RetryPolicy::quick(),
                lease: Duration::from_secs(20),
                relay_every: Duration::from_millis(50),
                look_for_lost_every: Duration::from_millis(200),
                second_look: Duration::from_millis(300),
                ..Settings::default()
            },
        }
    }

    pub async fn worker(&self) -> Running {
        self.worker_with(|_| {}).await
    }

    pub async fn worker_with(&self, change: impl FnOnce(&mut Settings)) -> Running {
        let mut config = self.config();
        change(&mut config.settings);
        Worker::start(config).await.expect("a worker")
    }

    async fn spooled(&self, content: &[u8]) -> (spool::Spooled, Vec<u8>) {
        let bytes = [GIF, content].concat();
        let mut writer = self.spool.create();
        writer.write(Bytes::from(bytes.clone())).await.expect("written");
        (writer.commit().await.expect("committed"), bytes)
    }

    fn upload(&self, role: Role, spooled: &spool::Spooled) -> NewUpload {
        NewUpload {
            asset: store::new_asset_id(),
            job: JobId::new(),
            role,
            spool: self.spool.id().clone(),
            file: spooled.file,
            media_type: MediaType { content_type: "image/gif".to_owned(), resource_type: ResourceType::Image },
            bytes: spooled.bytes,
            md5: spooled.md5.clone(),
            original_name: "a picture.gif".to_owned(),
        }
    }

    /// Accepts a media upload as the API does, and tells nobody.
    pub async fn submit(&self, content: &[u8]) -> Submitted {
        let (spooled, bytes) = self.spooled(content).await;
        let upload = self.upload(Role::Media, &spooled);
        let submitted = Submitted { asset: upload.asset, job: upload.job, file: upload.file, bytes };
        self.store.submit_media(self.owner, upload, None, None).await.expect("accepted");
        spooled.keep();
        submitted
    }

    /// Accepts a new image of the user as the API does, and publishes its job.
    pub async fn replace(&self, role: Role, content: &[u8]) -> Submitted {
        let (spooled, bytes) = self.spooled(content).await;
        let upload = self.upload(role, &spooled);
        let (asset, job, file) = (upload.asset, upload.job, upload.file);
        let accepted = self.store.replace_image(self.owner, upload, None).await.expect("accepted");
        spooled.keep();
        for file in accepted.superseded {
            self.spool.remove(file).await.expect("removed");
        }
        self.publish(job).await;
        Submitted { asset, job, file, bytes }
    }

    /// Publishes a message for a job.
    pub async fn publish(&self, job: JobId) {
        let record = self.job(job).await;
        let envelope = Envelope::new(job, record.job().expect("a known kind"), None);
        // A queue that was declared just now may not have elected its leader yet.
        until("the message is published", async || self.publisher.publish(&envelope).await.is_ok()).await;
        self.store.mark_queued(job).await.expect("marked");
    }

    /// Publishes any bytes to the queue of uploads.
    pub async fn publish_raw(&self, body: &[u8]) {
        let payload = BASE64_STANDARD.encode(body);
        let message = json!({"properties": {"delivery_mode": 2}, "routing_key": self.queue(), "payload": payload,
                             "payload_encoding": "base64"});
        let path = format!("exchanges/{}/{}/publish", self.name, topology::JOBS_EXCHANGE);
        let answer = manage(&self.http, reqwest::Method::POST, &path, message).await;
        assert_eq!(answer["routed"], true, "{answer}");
    }

    /// Collects events from now on.
    pub async fn listen(&self) {
        let put = async |path: String, body| manage(&self.http, reqwest::Method::PUT, &path, body).await;
        let (name, exchange) = (&self.name, topology::EVENTS_EXCHANGE);
        put(format!("exchanges/{name}/{exchange}"), json!({"type": "topic", "durable": true})).await;
        put(format!("queues/{name}/events"), json!({"durable": true})).await;
        let path = format!("bindings/{name}/e/{exchange}/q/events");
        manage(&self.http, reqwest::Method::POST, &path, json!({"routing_key": "media.#"})).await;
    }

    /// The next event that was collected.
    pub async fn next_event(&self) -> Event {
        let path = format!("queues/{}/events/get", self.name);
        let get = json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"});
        let deadline = Instant::now() + PATIENCE;
        loop {
            let got = manage(&self.http, reqwest::Method::POST, &path, get.clone()).await;
            if let Some(text) = got[0]["payload"].as_str() {
                return serde_json::from_str(text).expect("an event");
            }
            assert!(Instant::now() < deadline, "no event");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The queue of uploads.
    pub fn queue(&self) -> String {
        topology::upload_queue(self.spool.id())
    }

    /// Throws away what waits in the queue of uploads, as a broker that loses its disk does.
    pub async fn purge(&self) {
        let path = format!("queues/{}/{}/contents", self.name, self.queue());
        manage(&self.http, reqwest::Method::DELETE, &path, Value::Null).await;
    }

    /// Closes every connection from the broker's side. Answers how many there were.
    pub async fn close_connections(&self) -> usize {
        let path = format!("vhosts/{}/connections", self.name);
        let connections = manage(&self.http, reqwest::Method::GET, &path, Value::Null).await;
        let names = connections.as_array().into_iter().flatten().filter_map(|connection| connection["name"].as_str());
        let mut closed = 0;
        for name in names {
            let name = name.replace(' ', "%20").replace('>', "%3E").replace(':', "%3A");
            manage(&self.http, reqwest::Method::DELETE, &format!("connections/{name}"), Value::Null).await;
            closed += 1;
        }
        closed
    }

    pub fn fault(&self, fault: &str) -> u64 {
        self.media.handle().install_fault(fault.parse::<Fault>().expect("a fault"))
    }

    /// How often a fault has struck.
    pub fn struck(&self, fault: u64) -> u64 {
        self.media.handle().faults().iter().find(|installed| installed.id == fault).expect("installed").struck
    }

    pub async fn job(&self, id: JobId) -> JobRecord {
        self.store.find_job(id).await.expect("the database").expect("the job")
    }

    pub async fn asset(&self, id: AssetId) -> Asset {
        self.store.find_asset(id).await.expect("the database").expect("the asset")
    }

    pub async fn user(&self) -> User {
        self.store.find_user(self.owner).await.expect("the database").expect("the user")
    }

    /// Waits until a job is in a state.
    pub async fn until(&self, id: JobId, state: JobState) -> JobRecord {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let job = self.job(id).await;
            if job.state == state {
                return job;
            }
            assert!(Instant::now() < deadline && !job.state.is_finished(), "not {state}: {job:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn host_assets(&self) -> Vec<HostAsset> {
        self.media.handle().assets().into_iter().map(|asset| HostAsset::clone(&asset)).collect()
    }

    /// What the media host stores, by public id.
    pub fn public_ids(&self) -> Vec<String> {
        self.host_assets().into_iter().map(|asset| asset.identity.public_id).collect()
    }

    pub async fn bytes_at_host(&self, public_id: &str) -> Vec<u8> {
        let asset = self.host_assets().into_iter().find(|asset| asset.identity.public_id == public_id).expect("stored");
        self.media.handle().read(&asset).await.expect("readable")
    }

    /// The files in the spool.
    pub fn files(&self) -> Vec<String> {
        let areas = ["incoming", "ready"].map(|area| self.folder.path().join("spool").join(area));
        let entries = areas.iter().flat_map(|area| std::fs::read_dir(area).expect("an area"));
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect()
    }

    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        let admin = self.admin().await;
        let letters = admin.dead_letters(100).await.expect("dead letters");
        admin.close().await;
        letters
    }

    pub async fn admin(&self) -> Admin {
        Admin::connect(&broker(&rabbitmq(), &self.name)).await.expect("the broker")
    }

    /// Waits until no message is waiting or being worked on.
    pub async fn until_quiet(&self) {
        until("the queues are empty", async || self.queue_is(|queue| queue["messages"].as_u64() == Some(0)).await)
            .await;
    }

    async fn queue_is(&self, holds: impl Fn(&Value) -> bool) -> bool {
        // Numbers come from statistics that are a few seconds old unless this is asked for.
        let path = format!("queues/{}?disable_stats=true&enable_queue_totals=true", self.name);
        let queues = manage(&self.http, reqwest::Method::GET, &path, Value::Null).await;
        let queues: Vec<&Value> = queues.as_array().into_iter().flatten().collect();
        let jobs = queues.iter().filter(|queue| queue["name"].as_str().is_some_and(|name| name.starts_with("media.")));
        jobs.clone().count() > 0 && jobs.into_iter().all(|queue| holds(queue))
    }

    /// Asserts that nothing is left, and removes the world.
    pub async fn finish(self) {
        self.finish_with(&[], 0).await;
    }

    pub async fn finish_with_files(self, files: &[FileId]) {
        self.finish_with(files, 0).await;
    }

    pub async fn finish_with_dead_letters(self, count: usize) {
        self.finish_with(&[], count).await;
    }

    async fn finish_with(self, files: &[FileId], dead_letters: usize) {
        let files: Vec<String> = files.iter().map(ToString::to_string).collect();
        until("the spool holds what it should", async || self.files() == files).await;
        until("every job is finished", async || self.store.queue_ages().await.expect("ages").is_empty()).await;
        self.until_quiet().await;
        let letters = self.dead_letters().await;
        assert_eq!(letters.len(), dead_letters, "{letters:?}");
        self.publisher.close().await;
        manage(&self.http, reqwest::Method::DELETE, &format!("vhosts/{}", self.name), Value::Null).await;
        self.store.drop_database().await.expect("dropped");
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn broker(url: &str, host: &str) -> broker::Config {
    let url = SecretString::from(format!("{}/{host}", url.trim_end_matches('/')));
    broker::Config::new(&url, 10, "test").expect("an address")
}

pub fn rabbitmq() -> String {
    variable("STEEP_TEST_RABBITMQ_URL")
}

pub fn mongodb() -> SecretString {
    variable("STEEP_TEST_MONGODB_URI").into()
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`, which starts the services"))
}

pub fn cloudinary_config(url: &str) -> cloudinary::Config {
    let args = cloudinary::CloudinaryArgs { cloudinary_url: Some(url.into()), ..Default::default() };
    cloudinary::Config::try_from(args).expect("a media host")
}

async fn manage(http: &reqwest::Client, method: reqwest::Method, path: &str, body: Value) -> Value {
    let url = format!("{}/api/{path}", variable("STEEP_TEST_RABBITMQ_MANAGEMENT_URL"));
    let mut request = http.request(method.clone(), &url).basic_auth("guest", Some("guest"));
    if !body.is_null() {
        request = request.json(&body);
    }
    let reply = request.send().await.expect("the management API");
    let status = reply.status();
    assert!(status.is_success() || status.as_u16() == 404, "{method} {url}: {status}");
    reply.json().await.unwrap_or_default()
}
