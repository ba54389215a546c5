//! The real services that tests run against, and a namespace of one's own in each.

use std::env;
use std::time::{Duration, Instant};

use messages::{Event, EventMessage, topology};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;
use xtask::services::MongoDb;

use crate::client::PATIENCE;
use crate::secrets;

/// Where `cargo xtask test` put the services.
#[derive(Clone, Debug)]
pub struct Services {
    /// `amqp://guest:guest@127.0.0.1:<port>`, without a virtual host.
    pub rabbitmq: String,
    /// The management API's base address.
    pub management: String,
    /// A connection string without a database.
    pub mongodb: String,
}

impl Services {
    /// Reads the addresses from the environment.
    pub fn from_env() -> Self {
        let read = |name: &str| {
            env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: run the tests with `cargo xtask test`, which starts RabbitMQ and MongoDB for them")
            })
        };
        Self {
            rabbitmq: read("STEEP_TEST_RABBITMQ_URL"),
            management: read("STEEP_TEST_RABBITMQ_MANAGEMENT_URL"),
            mongodb: read("STEEP_TEST_MONGODB_URI"),
        }
    }
}

/// A MongoDB of a test's own, which it may disturb.
#[derive(Debug)]
pub struct OwnMongoDb {
    pub server: MongoDb,
    _folder: TempDir,
}

impl OwnMongoDb {
    /// Blocks until it accepts writes.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("steep-own-").tempdir().expect("a temporary folder");
        let server = MongoDb::start(folder.path()).expect("a database");
        Self { server, _folder: folder }
    }
}

/// A virtual host, with a user of its name, that is deleted with all its queues and connections.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    http: reqwest::Client,
    services: Services,
    name: String,
    password: String,
}

impl VirtualHost {
    pub async fn create(services: &Services, name: &str) -> Self {
        let password = format!("broker-{}", Uuid::new_v4().simple());
        secrets::keep("the password of the broker", &password);
        // A connection for each request, since one that is kept may be closed at the moment in which it is used again.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a plain client");
        let host = Self { http, services: services.clone(), name: name.to_owned(), password };
        let user = json!({"password": host.password, "tags": ""});
        host.send(reqwest::Method::PUT, &format!("/api/users/{name}"), Some(user)).await;
        host.send(reqwest::Method::PUT, &format!("/api/vhosts/{name}"), None).await;
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        for user in ["guest", name] {
            host.send(reqwest::Method::PUT, &format!("/api/permissions/{name}/{user}"), Some(all.clone())).await;
        }
        host
    }

    /// The address that programs connect to.
    pub fn url(&self) -> String {
        self.url_as(&self.name, &self.password)
    }

    /// The same for another user.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        let address = self.services.rabbitmq.trim_end_matches('/').rsplit('@').next().unwrap_or_default();
        format!("amqp://{user}:{password}@{address}/{}", self.name)
    }

    /// Closes every connection of this virtual host from the broker's side, as an administrator or a failing network would.
    /// Answers how many there were.
    pub async fn close_connections(&self) -> usize {
        let path = format!("/api/vhosts/{}/connections", self.name);
        let connections = self.send(reqwest::Method::GET, &path, None).await;
        let mut closed = 0;
        for connection in connections.as_array().into_iter().flatten() {
            let Some(name) = connection["name"].as_str() else { continue };
            let name = name.replace('%', "%25").replace(' ', "%20").replace('>', "%3E").replace(':', "%3A");
            // It may have gone by itself in the meantime.
            let url = format!("{}/api/connections/{name}", self.services.management);
            let reply = self.http.delete(url).basic_auth("guest", Some("guest")).send().await;
            closed += usize::from(reply.is_ok_and(|reply| reply.status().is_success()));
        }
        closed
    }

    /// How many messages of jobs wait or are being worked on.
    pub async fn job_messages(&self) -> u64 {
        // Numbers come from statistics that are a few seconds old unless this is asked for.
        let path = format!("/api/queues/{}?disable_stats=true&enable_queue_totals=true", self.name);
        let queues = self.send(reqwest::Method::GET, &path, None).await;
        let queues = queues.as_array().into_iter().flatten();
        let of_jobs = queues.filter(|queue| queue["name"].as_str().is_some_and(|name| name.starts_with("media.")));
        // One that is being declared has no number yet.
        of_jobs.map(|queue| queue["messages"].as_u64().unwrap_or(1)).sum()
    }

    /// The names of its queues.
    pub async fn queues(&self) -> Vec<String> {
        let path = format!("/api/queues/{}?disable_stats=true", self.name);
        let queues = self.send(reqwest::Method::GET, &path, None).await;
        let name = |queue: &serde_json::Value| queue["name"].as_str().map(str::to_owned);
        queues.as_array().into_iter().flatten().filter_map(name).collect()
    }

    /// Collects events from now on, in a queue that outlives the broker.
    pub async fn listen(&self) {
        let (name, exchange) = (&self.name, topology::EVENTS_EXCHANGE);
        let durable = json!({"type": "topic", "durable": true});
        self.send(reqwest::Method::PUT, &format!("/api/exchanges/{name}/{exchange}"), Some(durable)).await;
        let queue = json!({"durable": true});
        self.send(reqwest::Method::PUT, &format!("/api/queues/{name}/events"), Some(queue)).await;
        let binding = format!("/api/bindings/{name}/e/{exchange}/q/events");
        self.send(reqwest::Method::POST, &binding, Some(json!({"routing_key": "media.#"}))).await;
    }

    /// The next event that was collected.
    pub async fn next_event(&self) -> Event {
        self.next_message().await.event
    }

    /// The next event that was collected, with its id.
    pub async fn next_message(&self) -> EventMessage {
        let path = format!("/api/queues/{}/events/get", self.name);
        let get = json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"});
        let deadline = Instant::now() + PATIENCE;
        loop {
            let got = self.send(reqwest::Method::POST, &path, Some(get.clone())).await;
            if let Some(text) = got[0]["payload"].as_str() {
                return serde_json::from_str(text).expect("an event");
            }
            assert!(Instant::now() < deadline, "no event");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Deletes the virtual host and its user; the queues first, one at a time: many quorum queues that go at once with their
    /// virtual host are more than some brokers bear.
    pub async fn delete(&self) {
        for queue in self.queues().await {
            let url = format!("{}/api/queues/{}/{queue}", self.services.management, self.name);
            // One that belongs to a connection goes with it.
            let _ = self.http.delete(url).basic_auth("guest", Some("guest")).send().await;
        }
        self.send(reqwest::Method::DELETE, &format!("/api/vhosts/{}", self.name), None).await;
        self.send(reqwest::Method::DELETE, &format!("/api/users/{}", self.name), None).await;
    }

    /// Asks the management API, by a path such as `/api/queues`.
    pub async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        let reply = loop {
            let mut request = self.http.request(method.clone(), format!("{}{path}", self.services.management));
            request = request.basic_auth("guest", Some("guest"));
            if let Some(body) = &body {
                request = request.json(body);
            }
            match request.send().await {
                Ok(reply) => break reply,
                // Now and then it closes a connection instead of answering. Who only asks may ask again.
                Err(error) => {
                    let again = method == reqwest::Method::GET && Instant::now() < deadline;
                    assert!(again, "{method} {path}: the management API does not answer: {error:?}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        assert!(reply.status().is_success(), "{method} {path}: {}", reply.status());
        reply.json().await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A management API that knows two queues. Answers its address, and what it is asked.
    async fn management() -> (String, Arc<Mutex<Vec<String>>>) {
        const QUEUES: &str = r#"[{"name":"one"},{"name":"two"}]"#;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut head = Vec::<u8>::new();
                while !head.ends_with(b"\r\n\r\n") && client.read_buf(&mut head).await.is_ok_and(|read| read > 0) {}
                let head = String::from_utf8_lossy(&head).into_owned();
                noted.lock().expect("no panic").push(head.split(" HTTP/").next().unwrap_or_default().to_owned());
                let length = QUEUES.len();
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{QUEUES}");
                client.write_all(answer.as_bytes()).await.expect("it listens");
            }
        });
        (format!("http://{address}"), asked)
    }

    #[tokio::test]
    async fn a_virtual_host_is_left_in_the_order_that_every_broker_survives() {
        let (management, asked) = management().await;
        let services = Services { rabbitmq: String::new(), management, mongodb: String::new() };
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a plain client");
        let host = VirtualHost { http, services, name: "test-1".to_owned(), password: String::new() };
        host.delete().await;
        let asked = asked.lock().expect("no panic").clone();
        assert_eq!(
            asked,
            [
                "GET /api/queues/test-1?disable_stats=true",
                "DELETE /api/queues/test-1/one",
                "DELETE /api/queues/test-1/two",
                "DELETE /api/vhosts/test-1",
                "DELETE /api/users/test-1",
            ]
        );
    }
}
