//! A virtual host per test, and ways to wait and to look.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use broker::{Admin, Config, Consumer, ConsumerStatus, Delivery, Publisher, QueueSpec};
use messages::topology::{DEAD_QUEUE, present};
use messages::{AssetId, DeleteMedia, Envelope, Job, JobId, Payload, SpoolId, UploadMedia};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);

/// Where [`deletion`]s go.
pub const DELETE_QUEUE: &str = DeleteMedia::QUEUE.name;

/// A virtual host of its own on the broker of this test run.
pub struct Host {
    pub name: String,
    amqp: String,
    management: String,
}

impl Host {
    pub fn new() -> Self {
        let name = format!("test-{}", uuid::Uuid::new_v4());
        let host = Self {
            amqp: variable("STEEP_TEST_RABBITMQ_URL"),
            management: variable("STEEP_TEST_RABBITMQ_MANAGEMENT_URL"),
            name,
        };
        host.put(&format!("vhosts/{}", host.name), &json!({}));
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        host.put(&format!("permissions/{}/guest", host.name), &all);
        host
    }

    /// Address of the broker with this virtual host.
    pub fn url(&self) -> url::Url {
        let mut url = url::Url::parse(&self.amqp).expect("STEEP_TEST_RABBITMQ_URL is an address");
        url.set_path(&self.name);
        url
    }

    pub fn config(&self) -> Config {
        config(self.url().as_str())
    }

    pub async fn publisher(&self) -> Publisher {
        let publisher = Publisher::start(&self.config());
        publisher.connected().await;
        publisher
    }

    /// A consumer of these queues, consuming.
    pub async fn consumer(&self, worker: &str, queues: &[QueueSpec], publisher: &Publisher) -> Consumer {
        let consumer = Consumer::start(&self.config(), worker, queues, publisher);
        eventually("the consumer consumes", async || consumer.status() == ConsumerStatus::Consuming).await;
        consumer
    }

    pub async fn depth(&self, queue: &str) -> Option<u32> {
        let admin = Admin::connect(&self.config()).await.expect("the broker");
        let depth = if queue == DEAD_QUEUE { admin.dead_depth().await } else { admin.queue_depth(queue).await };
        let depth = depth.expect("a number");
        admin.close().await;
        depth
    }

    /// Waits until a queue holds so many: what a connection held goes back, or goes, once the broker has ended it.
    pub async fn until_depth(&self, queue: &str, depth: u32) {
        eventually(&format!("{depth} in {queue}"), async || self.depth(queue).await == Some(depth)).await;
    }

    pub fn put(&self, path: &str, body: &Value) {
        let answer = ureq::put(self.api(path)).header("Authorization", GUEST).send(body.to_string());
        answer.unwrap_or_else(|error| panic!("PUT {path}: {error}"));
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        let answer = ureq::post(self.api(path)).header("Authorization", GUEST).send(body.to_string());
        let text = answer.and_then(|mut answer| answer.body_mut().read_to_string());
        serde_json::from_str(&text.unwrap_or_else(|error| panic!("POST {path}: {error}"))).unwrap_or_default()
    }

    pub fn get(&self, path: &str) -> Value {
        let answer = ureq::get(self.api(path)).header("Authorization", GUEST).call();
        let text = answer.and_then(|mut answer| answer.body_mut().read_to_string());
        serde_json::from_str(&text.unwrap_or_else(|error| panic!("GET {path}: {error}"))).expect("JSON")
    }

    pub fn delete(&self, path: &str) {
        let answer = ureq::delete(self.api(path)).header("Authorization", GUEST).call();
        answer.unwrap_or_else(|error| panic!("DELETE {path}: {error}"));
    }

    pub fn delete_queue(&self, queue: &str) {
        self.delete(&self.queue(queue));
    }

    /// Where the management API has a job queue.
    pub fn queue(&self, queue: &str) -> String {
        format!("queues/{}/{}", self.name, present(queue))
    }

    /// Closes the connections of that role as an administrator would. Returns how many there were.
    pub async fn close_connections(&self, role: &str) {
        // The management API learns of connections with a delay.
        eventually("the connection is listed", async || !self.connections(role).is_empty()).await;
        for name in self.connections(role) {
            let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
            self.delete(&format!("connections/{}", name.replace('+', "%20")));
        }
    }

    fn connections(&self, role: &str) -> Vec<String> {
        let all = self.get(&format!("vhosts/{}/connections", self.name));
        let ours = all.as_array().expect("a list").iter().filter(|connection| {
            let name = connection["client_properties"]["connection_name"].as_str().unwrap_or_default();
            name.ends_with(role)
        });
        ours.filter_map(|connection| connection["name"].as_str().map(str::to_owned)).collect()
    }

    fn api(&self, path: &str) -> String {
        format!("{}/api/{path}", self.management.trim_end_matches('/'))
    }
}

/// Queue by queue, and then the virtual host: many quorum queues that go at once with theirs are more than some brokers bear.
impl Drop for Host {
    fn drop(&mut self) {
        let delete = |path: &str| ureq::delete(self.api(path)).header("Authorization", GUEST).call();
        let listed = ureq::get(self.api(&format!("queues/{}?disable_stats=true", self.name)));
        let listed = listed.header("Authorization", GUEST).call();
        let text = listed.and_then(|mut answer| answer.body_mut().read_to_string()).unwrap_or_default();
        let queues: Value = serde_json::from_str(&text).unwrap_or_default();
        for name in queues.as_array().into_iter().flatten().filter_map(|queue| queue["name"].as_str()) {
            let _ = delete(&format!("queues/{}/{name}", self.name));
        }
        let _ = delete(&format!("vhosts/{}", self.name));
    }
}

/// guest:guest
const GUEST: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run these tests with `cargo xtask test`"))
}

pub fn config(url: &str) -> Config {
    Config::new(url, "test").expect("an address")
}

pub fn queue(name: &str, prefetch: u16) -> QueueSpec {
    QueueSpec { name: name.to_owned(), prefetch: NonZeroU16::new(prefetch).expect("not zero") }
}

pub fn deletion() -> Envelope {
    let asset = AssetId::from_bytes([7; 12]);
    Envelope::new(JobId::new(), Job::DeleteMedia(DeleteMedia { asset, public_id: None }), None)
}

pub fn upload(spool: &str) -> Envelope {
    let (asset, spool): (_, SpoolId) = (AssetId::from_bytes([8; 12]), spool.parse().expect("a spool's id"));
    Envelope::new(JobId::new(), Job::UploadMedia(UploadMedia { asset, spool }), None)
}

pub fn deletions(prefetch: u16) -> [QueueSpec; 1] {
    [queue(DELETE_QUEUE, prefetch)]
}

pub async fn receive(consumer: &mut Consumer) -> Delivery {
    let received = tokio::time::timeout(DEADLINE, consumer.recv()).await;
    received.expect("a delivery within the deadline").expect("the consumer is not stopped")
}

/// Waits until something holds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
