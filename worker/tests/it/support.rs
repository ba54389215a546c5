//! What there is to see and to do in a world of workers.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use broker::Publisher;
use bytes::Bytes;
use cloudinary_local::{Asset as HostAsset, Fault};
use messages::{AssetId, Envelope, FileId, JobId, Payload, UploadMedia, UserId, topology};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::json;
use store::{
    Asset, Claim, Claimed, JobRecord, JobState, MediaType, NewUpload, NewUser, PasswordHash, Rescue, ResourceType,
    Role, User,
};
use testkit::{Leftovers, PATIENCE, TestEnv, ends};
use worker::{Config, Running};

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

/// A world with a user in it, and with a publisher in the place of the API's.
pub struct Env {
    env: TestEnv,
    pub publisher: Publisher,
    pub owner: UserId,
}

impl Deref for Env {
    type Target = TestEnv;

    fn deref(&self) -> &TestEnv {
        &self.env
    }
}

impl Env {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A world whose store is configured otherwise.
    pub async fn start_with(change: impl FnOnce(&mut store::Config)) -> Self {
        let env = TestEnv::start_with(|store| {
            // Tests publish themselves; those about the relay let it be quicker.
            store.publish_grace = PATIENCE * 2;
            change(store);
        })
        .await;
        let owner = store::new_user_id();
        let user = NewUser {
            id: owner,
            username: "ada".to_owned(),
            email: "ada@example.com".to_owned(),
            full_name: "Ada".to_owned(),
            password_hash: PasswordHash::from("$argon2id$none".to_owned()),
        };
        env.store().media().register(user, Vec::new(), None, None).await.expect("registered");
        let publisher = Publisher::start(&env.broker());
        publisher.connected().await;
        Self { env, publisher, owner }
    }

    /// What a worker of this world is told: everything takes milliseconds.
    pub fn config(&self) -> Config {
        let mut config = self.worker_config();
        (config.cloudinary.timeout, config.cloudinary.min_rate) = (Duration::from_secs(1), 1_000_000);
        config.settings.lease = Duration::from_secs(20);
        config.settings.look_for_lost_every = Duration::from_millis(200);
        config.settings.second_look = Duration::from_millis(300);
        config
    }

    pub async fn worker(&self) -> Running {
        self.worker_with(|_| {}).await
    }

    pub async fn worker_with(&self, change: impl FnOnce(&mut Config)) -> Running {
        let mut config = self.config();
        change(&mut config);
        worker::start(config).await.expect("a worker")
    }

    /// The database at another address. Directly: a replica set would tell its own.
    pub fn store_at(&self, address: SocketAddr) -> store::Config {
        let uri = SecretString::from(format!("mongodb://{address}/?directConnection=true"));
        store::Config::new(uri, self.database().name(), "test").expect("an address")
    }

    async fn spool_file(&self, content: &[u8]) -> (spool::Spooled, Vec<u8>) {
        let bytes = [GIF, content].concat();
        let mut writer = self.spool().create();
        writer.write(Bytes::from(bytes.clone())).await.expect("written");
        (writer.commit().await.expect("committed"), bytes)
    }

    fn upload(&self, role: Role, spooled: &spool::Spooled) -> NewUpload {
        NewUpload {
            asset: store::new_asset_id(),
            job: JobId::new(),
            role,
            spool: self.spool().id().clone(),
            file: spooled.file,
            media_type: MediaType { content_type: "image/gif".to_owned(), resource_type: ResourceType::Image },
            bytes: spooled.bytes,
            crc32: spooled.crc32,
            original_name: "a picture.gif".to_owned(),
        }
    }

    /// Accepts a media upload as the API does, and tells nobody.
    pub async fn submit(&self, content: &[u8]) -> Submitted {
        let (spooled, bytes) = self.spool_file(content).await;
        let upload = self.upload(Role::Media, &spooled);
        let submitted = Submitted { asset: upload.asset, job: upload.job, file: upload.file, bytes };
        self.store().media().submit(self.user().await, vec![upload], None, None).await.expect("accepted");
        spooled.keep();
        submitted
    }

    /// Accepts a media upload and publishes its job.
    pub async fn enqueue(&self, content: &[u8]) -> Submitted {
        let submitted = self.submit(content).await;
        self.publish(submitted.job).await;
        submitted
    }

    /// Accepts a new image of the user as the API does, and publishes its job.
    pub async fn replace(&self, role: Role, content: &[u8]) -> Submitted {
        let (spooled, bytes) = self.spool_file(content).await;
        let upload = self.upload(role, &spooled);
        let (asset, job, file) = (upload.asset, upload.job, upload.file);
        let accepted = self.store().media().replace_image(self.owner, upload, None).await.expect("accepted");
        spooled.keep();
        for file in accepted.superseded {
            self.spool().remove(file).await.expect("removed");
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
        self.store().jobs().mark_queued(&[job]).await.expect("marked");
    }

    /// Publishes any bytes to the queue of uploads.
    pub async fn publish_raw(&self, body: &[u8]) {
        let payload = BASE64_STANDARD.encode(body);
        let message = json!({"properties": {"delivery_mode": 2}, "routing_key": self.queue(), "payload": payload,
                             "payload_encoding": "base64"});
        let path = format!("/api/exchanges/{}/{}/publish", self.name(), topology::JOBS_EXCHANGE);
        let answer = self.host().send(Method::POST, &path, Some(message)).await;
        assert_eq!(answer["routed"], true, "{answer}");
    }

    /// Puts a body into the dead-letter queue, with a reason, as if it came from the queue of uploads.
    pub async fn bury(&self, body: &[u8], reason: &str) {
        let headers = json!({"x-steep-reason": reason, "x-steep-queue": self.queue()});
        let message = json!({"properties": {"delivery_mode": 2, "headers": headers}, "routing_key": "",
                             "payload": BASE64_STANDARD.encode(body), "payload_encoding": "base64"});
        let path = format!("/api/exchanges/{}/{}/publish", self.name(), topology::DEAD_EXCHANGE);
        let answer = self.host().send(Method::POST, &path, Some(message)).await;
        assert_eq!(answer["routed"], true, "{answer}");
    }

    /// The queue of uploads.
    pub fn queue(&self) -> String {
        UploadMedia::QUEUE.of(self.spool().id())
    }

    fn queue_path(&self) -> String {
        format!("/api/queues/{}/{}", self.name(), topology::present(&self.queue()))
    }

    /// How often the broker has delivered a message of the queue of uploads, and how often that was not its first time.
    pub async fn delivered(&self) -> (u64, u64) {
        let queue = self.host().send(Method::GET, &self.queue_path(), None).await;
        let count = |what: &str| queue["message_stats"][what].as_u64().unwrap_or(0);
        (count("deliver"), count("redeliver"))
    }

    /// How many consume from the queue of uploads.
    pub async fn consumers(&self) -> u64 {
        let queue = self.host().send(Method::GET, &self.queue_path(), None).await;
        queue["consumers"].as_u64().unwrap_or(u64::MAX)
    }

    /// Throws away what waits in the queue of uploads, as a broker that loses its disk does.
    pub async fn purge(&self) {
        let path = format!("{}/contents", self.queue_path());
        self.host().send(Method::DELETE, &path, None).await;
    }

    pub fn fault(&self, fault: &str) -> u64 {
        self.media().install_fault(fault.parse::<Fault>().expect("a fault"))
    }

    /// How often a fault has struck.
    pub fn struck(&self, fault: u64) -> u64 {
        self.media().faults().iter().find(|installed| installed.id == fault).expect("installed").struck
    }

    /// Waits until so many uploads have reached the media host.
    pub async fn until_uploading(&self, count: u64) {
        until("the uploads are under way", async || self.media().traffic().upload_requests == count).await;
    }

    pub async fn job(&self, id: JobId) -> JobRecord {
        self.store().jobs().find(id).await.expect("the database").expect("the job")
    }

    pub async fn asset(&self, id: AssetId) -> Asset {
        self.store().media().find(id).await.expect("the database").expect("the asset")
    }

    pub async fn user(&self) -> User {
        self.store().users().find(self.owner).await.expect("the database").expect("the user")
    }

    /// Claims a job for another worker, which does not exist.
    pub async fn claim_as(&self, id: JobId, worker: &str, lease: Duration, rescue: &Rescue) -> Claimed {
        match ends::claim(self.store(), id, worker, lease, rescue).await {
            Claim::Claimed(claimed) => claimed,
            other => panic!("not claimed: {other:?}"),
        }
    }

    /// The same, for a minute.
    pub async fn claim(&self, id: JobId) -> Claimed {
        self.claim_as(id, "nobody", Duration::from_secs(60), &Rescue::LeaseExpired).await
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
        self.media().assets().into_iter().map(|asset| HostAsset::clone(&asset)).collect()
    }

    /// What the media host stores, by public id.
    pub fn public_ids(&self) -> Vec<String> {
        self.host_assets().into_iter().map(|asset| asset.identity.public_id).collect()
    }

    pub async fn bytes_at_host(&self, public_id: &str) -> Vec<u8> {
        let asset = self.host_assets().into_iter().find(|asset| asset.identity.public_id == public_id).expect("stored");
        self.media().read(&asset).await.expect("readable")
    }

    /// Asserts that nothing is left, and removes the world.
    pub async fn finish(self) {
        self.finish_with_files(&[]).await;
    }

    /// As [`Env::finish`], but for files of discarded jobs that can be redriven.
    pub async fn finish_with_files(self, files: &[FileId]) {
        let files: Vec<String> = files.iter().map(ToString::to_string).collect();
        until("the spool holds what it should", async || self.spooled() == files).await;
        self.end(Leftovers { files: files.len(), dead_letters: 0 }).await;
    }

    pub async fn finish_with_dead_letters(self, count: usize) {
        self.end(Leftovers { files: 0, dead_letters: count }).await;
    }

    async fn end(self, leftovers: Leftovers) {
        self.publisher.close().await;
        self.env.finish_with(leftovers).await;
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    TestEnv::until(what, condition).await;
}

/// The broker at another address, with another world's virtual host.
pub fn broker(url: &str, host: &str) -> broker::Config {
    let url = format!("{}/{host}", url.trim_end_matches('/'));
    broker::Config::new(&url, "test").expect("an address")
}

/// Where a service listens.
pub fn address(url: &str) -> SocketAddr {
    let rest = url.split("://").nth(1).expect("a scheme");
    let authority = rest.split('/').next().expect("an authority");
    let host = authority.split('@').next_back().expect("a host");
    host.replace("localhost", "127.0.0.1").parse().expect("an address")
}
