//! From an upload to the address at which its owner waits for it.

mod misbehaving;
mod receiver;
mod replaying;
mod secrets;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use mongodb::bson::{Document, doc};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::{Holder, NewEndpoint};
use testkit::{Api, Client, TestEnv, access_tokens, jpeg, new_user, session_of, tools};

use crate::support::{free_name, start_worker};
use receiver::{Receiver, Says};

const ENDPOINTS: &str = "/api/v1/webhook-endpoints";
/// The library of the specification.
const PACKAGE: &str = "standardwebhooks";
const VERSION: &str = "1.0.0";

/// A user, whose endpoint is a receiver.
struct Story {
    env: TestEnv,
    api: Api,
    user: Client,
    receiver: Receiver,
    /// The path of the endpoint.
    place: String,
    secret: String,
}

impl Story {
    /// The user has no image, so that nothing happens but what the test does.
    async fn begin(env: TestEnv, events: &[&str]) -> Self {
        let (api, receiver) = (env.api().await, Receiver::start().await);
        let registered = env.store().media().register(new_user(&free_name(), ""), Vec::new(), None, None).await;
        let owner = registered.expect("a free name").user;
        let session = session_of(env.store(), &owner).await.expect("a session");
        let now = env.store().now().await.expect("a time");
        let token = access_tokens().issue(&owner, session.id, session.expires_at, now).expect("a token");
        let user = api.client().with_token(&token);
        let new = json!({"url": receiver.url, "events": events});
        let made = user.post(ENDPOINTS, &new).await.expect(201);
        let text = |field: &str| made.data()[field].as_str().expect("text").to_owned();
        let (place, secret) = (format!("{ENDPOINTS}/{}", text("id")), text("secret"));
        Self { env, api, user, receiver, place, secret }
    }

    async fn of_uploads() -> Self {
        Self::begin(TestEnv::start().await, &["media.ready.v1"]).await
    }

    /// Uploads a picture, and waits until it is ready. Answers with its asset.
    async fn upload(&self) -> String {
        let accepted = self.user.submit("a.jpg", jpeg(2_000)).await.expect(202);
        self.user.wait_for_job(&accepted.job(0), &["completed"]).await;
        accepted.data()["_id"].as_str().expect("an asset").to_owned()
    }

    async fn endpoint(&self) -> Value {
        self.user.get(&self.place).await.expect(200).data().clone()
    }

    async fn send(&self, method: Method, rest: &str, body: &Value) -> testkit::Answer {
        let path = format!("{}{rest}", self.place);
        self.user.send(self.user.request(method, &path).json(body)).await
    }

    /// What was sent, newest first.
    async fn deliveries(&self) -> Vec<Value> {
        let answer = self.user.get(&format!("{}/deliveries", self.place)).await.expect(200);
        answer.data().as_array().expect("a list").clone()
    }

    /// Waits until there are so many deliveries, and all have ended like this.
    async fn until_all(&self, count: usize, state: &str) -> Vec<Value> {
        TestEnv::until(&format!("{count} deliveries are {state}"), async || {
            let deliveries = self.deliveries().await;
            deliveries.len() == count && deliveries.iter().all(|delivery| delivery["state"] == state)
        })
        .await;
        self.deliveries().await
    }

    /// Waits until no job is unfinished: from here on nothing more is sent.
    async fn until_nothing_waits(&self) {
        TestEnv::until("every job has ended", async || {
            self.env.store().jobs().queue_ages().await.is_ok_and(|unfinished| unfinished.is_empty())
        })
        .await;
    }

    async fn end(self, worker: worker::Running) {
        self.until_nothing_waits().await;
        worker.shutdown(std::future::pending()).await;
        self.api.stop().await;
        self.env.finish().await;
    }
}

/// What became of each attempt at a delivery: its status and what was wrong.
fn attempts(delivery: &Value) -> Vec<(Value, Value)> {
    let attempts = delivery["attempts"].as_array().expect("attempts").iter();
    attempts.map(|attempt| (attempt["status"].clone(), attempt["error"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_owner_cancels_is_sent_although_the_api_publishes_it() {
    let story = Story::begin(TestEnv::start().await, &["media.cancelled.v1"]).await;
    let accepted = story.user.submit("a.jpg", jpeg(2_000)).await.expect(202);
    let cancel = story.user.request(Method::DELETE, &format!("/api/v1/jobs/{}", accepted.job(0)));
    story.user.send(cancel).await.expect(200);
    // There is no worker yet.
    TestEnv::until("its delivery is made", async || story.deliveries().await.len() == 1).await;
    let worker = story.env.worker().await;
    story.until_all(1, "delivered").await;

    let received = story.receiver.received();
    assert_eq!(received.len(), 1, "{received:?}");
    let body = received[0].json();
    assert_eq!((&body["type"], &body["data"]["job"]), (&json!("media.cancelled.v1"), &json!(accepted.job(0))));
    story.end(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ready_is_sent_to_its_owner_once_and_signed() {
    let story = Story::of_uploads().await;
    let other = story.api.new_user(jpeg(1_000)).await;
    let worker = story.env.worker().await;
    let mut assets = BTreeSet::new();
    for _ in 0..3 {
        assets.insert(story.upload().await);
    }
    other.0.wait_for_job(&other.1.job(0), &["completed"]).await;
    let deliveries = story.until_all(3, "delivered").await;
    story.until_nothing_waits().await;

    let received = story.receiver.received();
    assert_eq!(received.len(), 3, "{received:?}");
    let mut ids = BTreeSet::new();
    for message in &received {
        let body = message.json();
        assert_eq!(body["type"], "media.ready.v1");
        assert!(body["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{body}");
        assert!(assets.remove(body["data"]["asset"].as_str().expect("an asset")), "{body}");
        assert!(message.is_signed_by(&story.secret) && !message.signature.contains(' '), "{message:?}");
        ids.insert(message.id.clone());
    }
    let logged: BTreeSet<String> = deliveries.iter().filter_map(|one| Some(one["id"].as_str()?.to_owned())).collect();
    assert_eq!(ids, logged);
    for delivery in &deliveries {
        assert_eq!(attempts(delivery), [(json!(204), Value::Null)], "{delivery}");
    }
    assert!(story.endpoint().await["lastSuccessAt"].is_string());
    story.end(worker).await;
}

/// What the library says of messages: whether each is genuine, or why not.
fn verified(packages: &Path, folder: &Path, messages: &Value) -> Value {
    let file = folder.join("messages.json");
    std::fs::write(&file, messages.to_string()).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journey/webhooks/verify.cjs");
    let mut node = Command::new("node");
    let said =
        tools::run(node.arg(script).arg(file).env("NODE_PATH", packages)).unwrap_or_else(|said| panic!("{said}"));
    serde_json::from_str(&said).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_of_the_specification_verifies_what_is_sent_and_both_secrets_do_after_a_rotation() {
    let story = Story::of_uploads().await;
    let worker = story.env.worker().await;
    story.upload().await;
    story.receiver.until_received(1).await;
    let rotated = story.send(Method::POST, "/rotate", &json!({})).await.expect(200);
    let second = rotated.data()["secret"].as_str().expect("a secret").to_owned();
    story.upload().await;
    let received = story.receiver.until_received(2).await;
    let [before, after] = &received[..] else { panic!("{received:?}") };
    assert!(before.is_signed_by(&story.secret) && !before.is_signed_by(&second));
    assert!(after.is_signed_by(&story.secret) && after.is_signed_by(&second));

    // A day later the first one is over.
    let endpoints = story.env.database().collection::<Document>("webhook_endpoints");
    let over = vec![doc! { "$set": { "previous.until": { "$subtract": ["$$NOW", 1000] } } }];
    endpoints.update_one(doc! {}, over).await.expect("an answer");
    story.upload().await;
    let later = story.receiver.until_received(3).await.remove(2);
    assert!(!later.is_signed_by(&story.secret) && later.is_signed_by(&second));

    let message = |received: &receiver::Received, secret: &str| {
        let (id, timestamp, signature) = (&received.id, &received.timestamp, &received.signature);
        let headers = json!({"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature});
        json!({"secret": secret, "headers": headers, "body": String::from_utf8_lossy(&received.body)})
    };
    let mut forged = message(after, &second);
    forged["body"] = "{}".into();
    let messages = json!([
        message(before, &story.secret),
        message(after, &story.secret),
        message(after, &second),
        message(&later, &second),
        message(&later, &story.secret),
        forged,
    ]);
    match tools::node_package("webhooks", PACKAGE, VERSION) {
        Err(reason) => panic!("{PACKAGE} could not be installed: {reason}"),
        Ok(None) => {
            tools::skip("signatures were verified by our own code alone", "node and npm are not on this machine");
        }
        Ok(Some(packages)) => {
            const NO_MATCH: &str = "No matching signature found";
            let said = verified(&packages, story.env.folder(), &messages);
            assert_eq!(said, json!([true, true, true, true, NO_MATCH, NO_MATCH]));
        }
    }
    story.end(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_with_a_worker_that_dies_before_it_has_told_anybody() {
    // Before the event is published; before the endpoints are looked at; before that is noted.
    for point in ["worker.settled=media.upload.v1", "worker.event.published", "worker.event.marked"] {
        let story = Story::of_uploads().await;
        let accepted = story.user.submit("a.jpg", jpeg(2_000)).await.expect(202);
        let mut doomed = start_worker(&story.env, "doomed", &[("STEEP_CRASH_AT", point.to_owned())]);
        testkit::process::until_ended(&mut doomed).await.expect("it dies");
        let worker = story.env.worker().await;
        story.user.wait_for_job(&accepted.job(0), &["completed"]).await;
        story.until_all(1, "delivered").await;
        story.until_nothing_waits().await;
        let received = story.receiver.received();
        // The doomed one may have sent it and died before it said so.
        let ids: BTreeSet<&str> = received.iter().map(|message| message.id.as_str()).collect();
        assert_eq!(ids.len(), 1, "{point}: {received:?}");
        assert_eq!(story.deliveries().await.len(), 1, "{point}");
        story.end(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_gets_the_kinds_that_it_wants_and_all_of_them_with_an_asterisk() {
    let story = Story::begin(TestEnv::start().await, &["media.failed.v1"]).await;
    let all = Receiver::start().await;
    let wanting = json!({"url": all.url, "events": ["*"]});
    story.user.post(ENDPOINTS, &wanting).await.expect(201);
    let worker = story.env.worker().await;
    story.upload().await;
    let received = all.until_received(1).await;
    assert_eq!(received[0].json()["type"], "media.ready.v1");
    story.until_nothing_waits().await;
    assert_eq!(story.receiver.received().len(), 0);
    assert_eq!(story.deliveries().await.len(), 0);
    story.end(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_endpoint_gets_everybodys_events_and_is_nobody_elses() {
    let story = Story::of_uploads().await;
    let (all, secret) = (Receiver::start().await, outbound::new_secret());
    let new = NewEndpoint {
        holder: Holder::Operator,
        url: all.url.clone(),
        events: vec!["*".to_owned()],
        description: String::new(),
        secret: secret.clone(),
    };
    let registered = story.env.store().webhooks().register(new).await.expect("an answer").expect("registered");
    let worker = story.env.worker().await;
    let asset = story.upload().await;
    let (other, accepted) = story.api.new_user(jpeg(1_000)).await;
    other.wait_for_job(&accepted.job(0), &["completed"]).await;
    let received = all.until_received(2).await;
    story.until_nothing_waits().await;
    assert!(received.iter().all(|message| message.is_signed_by(secret.expose_secret())));
    assert!(received.iter().any(|message| message.json()["data"]["asset"] == asset.as_str()));
    assert_eq!((all.received().len(), story.receiver.received().len()), (2, 1));
    let own = story.user.get(ENDPOINTS).await.expect(200);
    assert_eq!(own.data().as_array().map(Vec::len), Some(1));
    story.user.get(&format!("{ENDPOINTS}/{}", registered.id)).await.expect(404);
    story.end(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_to_an_endpoint_that_was_removed_meanwhile_is_not_sent() {
    let story = Story::of_uploads().await;
    story.receiver.usually_says(500);
    let worker = story.env.worker().await;
    story.upload().await;
    story.receiver.until_received(2).await;
    story.send(Method::DELETE, "", &json!({})).await.expect(200);
    story.until_nothing_waits().await;
    let before = story.receiver.received().len();
    story.upload().await;
    story.until_nothing_waits().await;
    assert_eq!(story.receiver.received().len(), before);
    let deliveries = story.env.database().collection::<Document>("webhook_deliveries");
    assert_eq!(deliveries.count_documents(doc! {}).await.expect("a count"), 0);
    story.end(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_private_by_now_is_not_asked() {
    let story = Story::of_uploads().await;
    let worker = story.env.worker_with(|config| config.settings.reach.allow_private = false).await;
    for (url, error) in [
        (story.receiver.url.clone(), "address"),
        (story.receiver.url.replace("http:", "https:"), "private-address"),
        (story.receiver.url.replace("http://127.0.0.1", "https://localhost"), "private-address"),
    ] {
        story.send(Method::PATCH, "", &json!({"url": url})).await.expect(200);
        story.upload().await;
        TestEnv::until("it is refused", async || {
            let deliveries = story.deliveries().await;
            let first = deliveries.first().and_then(|newest| attempts(newest).into_iter().next());
            first.is_some_and(|first| first == (Value::Null, json!(error)))
        })
        .await;
    }
    assert_eq!(story.receiver.received().len(), 0);
    story.send(Method::DELETE, "", &json!({})).await.expect(200);
    story.end(worker).await;
}

/// Says them one after the other, and is sent one event.
async fn sent_to_somebody_who(says: impl IntoIterator<Item = Says>) -> (Story, worker::Running) {
    let story = Story::of_uploads().await;
    story.receiver.says(says);
    let worker = story.env.worker().await;
    story.upload().await;
    (story, worker)
}
