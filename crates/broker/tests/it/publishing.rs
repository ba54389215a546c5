//! Published means confirmed and not returned.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use broker::{Config, Error, Publisher, PublisherStatus};
use messages::topology::{DEAD_EXCHANGE, EVENTS_EXCHANGE, present};

use crate::support::DELETE_QUEUE;
use messages::{AssetId, Envelope, Event, EventId, EventMessage, JobId, MediaDeleted};
use serde_json::json;

use crate::proxy::{Passage, Proxy};
use crate::support::{Host, config, deletion, deletions, eventually, receive, upload};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_for_a_spool_never_seen_before_waits_in_its_queue() {
    let host = Host::new();
    let publisher = host.publisher().await;
    publisher.publish(&upload("brand-new")).await.expect("published");
    assert_eq!(host.depth("media.upload.brand-new").await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_says_on_the_outside_what_it_is() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let envelope =
        Envelope { traceparent: Some(traceparent.to_owned()), tracestate: Some("vendor=1".to_owned()), ..deletion() };
    publisher.publish(&envelope).await.expect("published");
    let get = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
    let found = host.post(&format!("{}/get", host.queue(DELETE_QUEUE)), &get);
    let properties = &found[0]["properties"];
    assert_eq!(properties["type"], "media.delete.v1", "{found}");
    assert_eq!(properties["message_id"], envelope.message_id.to_string());
    assert_eq!(properties["delivery_mode"], 2);
    assert_eq!(properties["content_type"], "application/json");
    assert_eq!(properties["app_id"], "steep");
    assert_eq!(properties["timestamp"], envelope.enqueued_at.unix_timestamp());
    assert_eq!(properties["headers"]["traceparent"], traceparent);
    assert_eq!(properties["headers"]["tracestate"], "vendor=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_queue_took_is_not_published_and_the_next_one_makes_the_queue_anew() {
    let host = Host::new();
    let publisher = host.publisher().await;
    publisher.publish(&deletion()).await.expect("published");
    host.delete_queue(DELETE_QUEUE);
    let error = publisher.publish(&deletion()).await.expect_err("there is no queue");
    assert!(matches!(&error, Error::Returned { queue, .. } if queue == DELETE_QUEUE), "{error}");
    eventually("published again", async || publisher.publish(&deletion()).await.is_ok()).await;
    assert_eq!(host.depth(DELETE_QUEUE).await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_many_under_way_each_learns_its_own_fate() {
    let host = Host::new();
    let publisher = host.publisher().await;
    publisher.publish(&deletion()).await.expect("published");
    publisher.publish(&upload("gone")).await.expect("published");
    host.delete_queue("media.upload.gone");
    let mut tasks = tokio::task::JoinSet::new();
    for turn in 0..200 {
        let publisher = publisher.clone();
        let envelope = if turn % 2 == 0 { deletion() } else { upload("gone") };
        tasks.spawn(async move { (turn % 2 == 0, publisher.publish(&envelope).await) });
    }
    let mut returned = 0;
    while let Some(done) = tasks.join_next().await {
        match done.expect("a result") {
            (true, result) => result.expect("this queue was there all the time"),
            (false, Err(Error::Returned { queue, .. })) => {
                assert_eq!(queue, "media.upload.gone");
                returned += 1;
            }
            (false, Err(Error::Unavailable { .. })) => {}
            (false, other) => panic!("a queue that was deleted took a message: {other:?}"),
        }
    }
    // After the first one the publisher knows, and refuses the others without asking.
    assert!(returned >= 1, "nobody was told that the queue is gone");
    assert_eq!(host.depth(DELETE_QUEUE).await, Some(101));
    assert_eq!(host.depth("media.upload.gone").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_loses_nothing() {
    let host = Host::new();
    let policy = json!({"pattern": "^media", "definition": {"max-length": 3}, "apply-to": "queues"});
    host.put(&format!("policies/{}/small", host.name), &policy);
    let publisher = host.publisher().await;
    let mut published = 0;
    let refused = loop {
        match publisher.publish(&deletion()).await {
            Ok(()) => published += 1,
            Err(error) => break error,
        }
        assert!(published < 100, "the queue takes more than it may hold");
    };
    assert!(matches!(&refused, Error::Nacked(queue) if queue == DELETE_QUEUE), "{refused}");
    assert_eq!(host.depth(DELETE_QUEUE).await, Some(published));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_argument_of_our_queues_is_legal_on_this_version_and_declaring_them_again_changes_nothing() {
    let host = Host::new();
    let version = host.get("overview")["rabbitmq_version"].clone();
    for _ in 0..2 {
        let publisher = host.publisher().await;
        publisher.publish(&upload("node-1")).await.expect("published");
        publisher.publish(&deletion()).await.expect("published");
        publisher.close().await;
    }
    let job_queue = json!({
        "x-queue-type": "quorum",
        "x-delivery-limit": 100_000,
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-overflow": "reject-publish",
        "x-max-length": 1_000_000,
    });
    let dead_queue = json!({"x-queue-type": "quorum", "x-delivery-limit": 100_000});
    // Other arguments are another generation: `messages::topology`.
    let (uploads, deletions) = ("media.upload.node-1:2", "media.delete:2");
    for (queue, arguments) in [(uploads, &job_queue), (deletions, &job_queue), ("dead", &dead_queue)] {
        let found = host.get(&format!("queues/{}/{queue}", host.name));
        assert_eq!(found["arguments"], *arguments, "{queue} on RabbitMQ {version}");
        assert_eq!((&found["type"], &found["durable"]), (&json!("quorum"), &json!(true)), "{queue} on {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_another_kind_is_reported_in_words() {
    let host = Host::new();
    let other = json!({"durable": true, "arguments": {"x-queue-type": "quorum"}});
    host.put(&host.queue(DELETE_QUEUE), &other);
    let publisher = host.publisher().await;
    let error = publisher.publish(&deletion()).await.expect_err("the queue differs");
    let named = present(DELETE_QUEUE);
    assert!(matches!(&error, Error::Differs { object: "queue", name, .. } if *name == named), "{error}");
    assert!(error.to_string().contains("drain and delete it"), "{error}");
    publisher.publish(&upload("fine")).await.expect("another queue is not concerned");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_reaches_those_who_listen_and_needs_none() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let event = Event::MediaDeleted(MediaDeleted { job: JobId::new(), asset: AssetId::from_bytes([1; 12]) });
    let event = EventMessage { id: EventId::new(), event };
    publisher.publish_event(&event).await.expect("nobody has to listen");
    host.put(&format!("queues/{}/ears", host.name), &json!({"durable": true}));
    let bind = json!({"routing_key": "media.*.v1"});
    host.post(&format!("bindings/{}/e/{EVENTS_EXCHANGE}/q/ears", host.name), &bind);
    publisher.publish_event(&event).await.expect("published");
    let get = json!({"count": 10, "ackmode": "ack_requeue_false", "encoding": "auto"});
    let heard = host.post(&format!("queues/{}/ears/get", host.name), &get);
    assert_eq!(heard.as_array().map(Vec::len), Some(1), "{heard}");
    let body = heard[0]["payload"].as_str().expect("a body");
    assert_eq!(serde_json::from_str::<EventMessage>(body).expect("an event"), event);
    assert_eq!(serde_json::from_str::<Event>(body).expect("also to whoever knows of no ids"), event.event);
    assert_eq!(heard[0]["properties"]["message_id"], event.id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_publishers_at_once_lose_and_double_nothing() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let publisher = publisher.clone();
        tasks.spawn(async move {
            let mut sent = Vec::new();
            for _ in 0..20 {
                let envelope = deletion();
                publisher.publish(&envelope).await.expect("published");
                sent.push(envelope.job_id);
            }
            sent
        });
    }
    let sent: HashSet<JobId> = tasks.join_all().await.into_iter().flatten().collect();
    let mut consumer = host.consumer("w", &deletions(100), &publisher).await;
    let mut arrived = HashSet::new();
    for _ in 0..sent.len() {
        let delivery = receive(&mut consumer).await;
        arrived.insert(Envelope::decode(&delivery.body).expect("an envelope").job_id);
        delivery.settle(broker::Disposition::Ack).await.expect("settled");
    }
    assert_eq!(sent.len(), 1000);
    assert!(sent == arrived);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_publishing_fails_at_once_and_starting_does_not() {
    // A port that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let config = config(&format!("amqp://guest:guest@127.0.0.1:{port}/%2f"));
    let publisher = Publisher::start(&config);
    let began = Instant::now();
    let error = publisher.publish(&deletion()).await.expect_err("there is no broker");
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(began.elapsed() < config.publish_timeout / 2);
    let refused = |why: &str| why.contains("refused");
    let status = || publisher.status();
    eventually(
        "the status says why",
        async || matches!(status(), PublisherStatus::Disconnected { why } if refused(&why)),
    )
    .await;
    publisher.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_or_virtual_host_is_named_as_the_cause() {
    let host = Host::new();
    let mut wrong_password = host.url();
    wrong_password.set_password(Some("wr0ng")).expect("a password");
    let mut wrong_host = host.url();
    wrong_host.set_path("nowhere");
    for url in [wrong_password, wrong_host] {
        let publisher = Publisher::start(&config(url.as_str()));
        eventually("the status says why", async || {
            let PublisherStatus::Disconnected { why } = publisher.status() else { return false };
            assert!(!why.contains("wr0ng"), "{why}");
            why.contains("check user, password and virtual host in RABBITMQ_URL")
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_seen_and_bounds_every_publish() {
    let host = Host::new();
    let proxy = Proxy::new(&host, Passage::Open).await;
    let limit = Duration::from_secs(5);
    let publisher = Publisher::start(&within(limit, &proxy));
    publisher.connected().await;
    publisher.publish(&deletion()).await.expect("published");

    proxy.raise_alarm();
    eventually("the alarm is seen", async || publisher.status() == PublisherStatus::Blocked).await;
    let began = Instant::now();
    let error = publisher.publish(&deletion()).await.expect_err("the broker takes nothing");
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(began.elapsed() < limit);

    proxy.clear_alarm();
    eventually("messages flow again", async || publisher.publish(&deletion()).await.is_ok()).await;
    assert_eq!(publisher.status(), PublisherStatus::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_makes_the_outcome_unknown_within_the_limit() {
    let host = Host::new();
    let proxy = Proxy::new(&host, Passage::Open).await;
    let publisher = Publisher::start(&within(Duration::from_millis(500), &proxy));
    publisher.connected().await;
    publisher.publish(&deletion()).await.expect("published");
    proxy.set(Passage::Held);
    let began = Instant::now();
    let error = publisher.publish(&deletion()).await.expect_err("no answer");
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3));
    proxy.set(Passage::Open);
    eventually("messages flow again", async || publisher.publish(&deletion()).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_dropped_halfway_does_not_disturb_the_others() {
    let host = Host::new();
    let publisher = host.publisher().await;
    publisher.publish(&deletion()).await.expect("published");
    for micros in 0..100 {
        let envelope = deletion();
        let _ = tokio::time::timeout(Duration::from_micros(micros * 20), publisher.publish(&envelope)).await;
    }
    publisher.publish(&deletion()).await.expect("published");
    assert_eq!(publisher.status(), PublisherStatus::Connected);
}

fn within(limit: Duration, proxy: &Proxy) -> Config {
    let mut config = config(&proxy.url);
    config.publish_timeout = limit;
    config
}
