//! Queues of an earlier version, and queues that do not work.

use std::time::{Duration, Instant};

use broker::{Consumer, ConsumerStatus, Disposition};
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use messages::Envelope;
use messages::topology::{DEAD_EXCHANGE, DEAD_QUEUE, JOBS_EXCHANGE};
use serde_json::json;

use crate::proxy::a_moment;
use crate::support::{DELETE_QUEUE, Host, deletion, deletions, eventually, receive};

impl Host {
    /// Declares and binds the queue of deletions as the first version did.
    fn declare_former(&self) {
        let arguments = json!({
            "x-queue-type": "quorum",
            "x-delivery-limit": 100_000,
            "x-dead-letter-exchange": DEAD_EXCHANGE,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-max-length": 1_000_000,
        });
        let durable = json!({"type": "direct", "durable": true});
        self.put(&format!("exchanges/{}/{JOBS_EXCHANGE}", self.name), &durable);
        self.put(&self.former(), &json!({"durable": true, "arguments": arguments}));
        let binding = format!("bindings/{}/e/{JOBS_EXCHANGE}/q/{DELETE_QUEUE}", self.name);
        self.post(&binding, &json!({"routing_key": DELETE_QUEUE}));
    }

    /// Where the management API has it.
    fn former(&self) -> String {
        format!("queues/{}/{DELETE_QUEUE}", self.name)
    }

    fn has_former(&self) -> bool {
        let queues = self.get(&format!("queues/{}?disable_stats=true", self.name));
        queues.as_array().into_iter().flatten().any(|queue| queue["name"] == DELETE_QUEUE)
    }

    /// Publishes as any version does.
    fn publish(&self, envelope: &Envelope) {
        let body = String::from_utf8(envelope.encode()).expect("JSON");
        let message = json!({"properties": {"delivery_mode": 2}, "routing_key": DELETE_QUEUE, "payload": body,
            "payload_encoding": "string"});
        let answer = self.post(&format!("exchanges/{}/{JOBS_EXCHANGE}/publish", self.name), &message);
        assert_eq!(answer["routed"], true, "{answer}");
    }
}

/// The queues whose jobs are to be published again, once there are any.
async fn replaced(consumer: &Consumer) -> Vec<String> {
    let mut replaced = Vec::new();
    eventually("a queue was replaced", async || {
        replaced.extend(consumer.take_replaced());
        !replaced.is_empty()
    })
    .await;
    replaced
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_an_earlier_version_left_goes_and_its_jobs_are_to_be_published_again() {
    let host = Host::new();
    host.declare_former();
    host.publish(&deletion());
    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(10), &publisher).await;
    assert_eq!(replaced(&consumer).await, [DELETE_QUEUE]);
    eventually("it is gone", async || !host.has_former()).await;

    let envelope = deletion();
    publisher.publish(&envelope).await.expect("published");
    let delivery = receive(&mut consumer).await;
    assert_eq!(Envelope::decode(&delivery.body).as_ref(), Ok(&envelope));
    assert_eq!(delivery.queue, DELETE_QUEUE);
    delivery.settle(Disposition::Ack).await.expect("settled");
    a_moment().await;
    assert!(tokio::time::timeout(Duration::ZERO, consumer.recv()).await.is_err(), "one message, one delivery");
}

/// A program of an earlier version may start long after a deploy, and declares its queue then.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_an_earlier_version_that_comes_back_goes_again() {
    let host = Host::new();
    host.declare_former();
    let publisher = host.publisher().await;
    let mut config = host.config();
    config.look_for_former_every = Duration::from_millis(500);
    let consumer = Consumer::start(&config, "w", &deletions(10), &publisher);
    assert_eq!(replaced(&consumer).await, [DELETE_QUEUE]);
    eventually("it is gone", async || !host.has_former()).await;

    host.declare_former();
    assert_eq!(replaced(&consumer).await, [DELETE_QUEUE]);
    eventually("it is gone again", async || !host.has_former()).await;
    assert_eq!(consumer.status(), ConsumerStatus::Consuming);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_worker_of_an_earlier_version_each_message_comes_once_and_none_is_lost() {
    let host = Host::new();
    host.declare_former();
    let old = Connection::connect(host.url().as_str(), ConnectionProperties::default()).await.expect("the broker");
    let channel = old.create_channel().await.expect("a channel");
    channel.basic_qos(1, BasicQosOptions::default()).await.expect("an answer");
    let consuming =
        channel.basic_consume(DELETE_QUEUE.into(), "old".into(), BasicConsumeOptions::default(), FieldTable::default());
    let mut before = consuming.await.expect("consuming");
    for _ in 0..3 {
        host.publish(&deletion());
    }
    let running = before.next().await.expect("a delivery").expect("a delivery");

    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(10), &publisher).await;
    a_moment().await;
    eventually("new messages go to one queue", async || {
        let bindings = host.get(&format!("queues/{}/{DELETE_QUEUE}/bindings", host.name));
        bindings.as_array().into_iter().flatten().all(|binding| binding["source"] != JOBS_EXCHANGE)
    })
    .await;
    publisher.publish(&deletion()).await.expect("published");
    receive(&mut consumer).await.settle(Disposition::Ack).await.expect("settled");
    assert!(host.has_former(), "somebody consumes from it");
    assert!(consumer.take_replaced().is_empty());
    running.acker.ack(lapin::options::BasicAckOptions::default()).await.expect("settled");
    before.next().await.expect("a delivery").expect("a delivery");

    old.close(200, "the deploy is over".into()).await.expect("closed");
    assert_eq!(replaced(&consumer).await, [DELETE_QUEUE]);
    eventually("it is gone", async || !host.has_former()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_cannot_be_declared_for_long_is_replaced_unless_somebody_consumes_from_it() {
    let host = Host::new();
    host.put(&host.queue(DELETE_QUEUE), &json!({"durable": true, "arguments": {"x-queue-type": "quorum"}}));
    let theirs = Connection::connect(host.url().as_str(), ConnectionProperties::default()).await.expect("the broker");
    let channel = theirs.create_channel().await.expect("a channel");
    let name = messages::topology::present(DELETE_QUEUE);
    let consuming = channel.basic_consume(
        name.as_str().into(),
        "theirs".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let _consuming = consuming.await.expect("consuming");

    let publisher = host.publisher().await;
    let mut config = host.config();
    config.replace_after = Duration::from_millis(500);
    let mut consumer = Consumer::start(&config, "w", &deletions(1), &publisher);
    eventually(
        "the status says why",
        async || matches!(consumer.status(), ConsumerStatus::Waiting { why } if why.contains("others consume from it")),
    )
    .await;
    theirs.close(200, "gone".into()).await.expect("closed");
    assert_eq!(replaced(&consumer).await, [DELETE_QUEUE]);
    eventually("it consumes", async || consumer.status() == ConsumerStatus::Consuming).await;
    eventually("published", async || publisher.publish(&deletion()).await.is_ok()).await;
    receive(&mut consumer).await.settle(Disposition::Ack).await.expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_two_workers_replace_at_once_serves_both() {
    let host = Host::new();
    host.put(&host.queue(DELETE_QUEUE), &json!({"durable": true, "arguments": {"x-queue-type": "quorum"}}));
    let publisher = host.publisher().await;
    let mut config = host.config();
    config.replace_after = Duration::from_millis(500);
    let start = |worker: &str| Consumer::start(&config, worker, &deletions(1), &publisher);
    let mut workers = [start("a"), start("b")];
    let consumes = |worker: &Consumer| worker.status() == ConsumerStatus::Consuming;
    eventually("both consume", async || workers.iter().all(consumes)).await;
    assert!(workers.iter().any(|worker| worker.take_replaced().contains(DELETE_QUEUE)));
    for _ in 0..2 {
        eventually("published", async || publisher.publish(&deletion()).await.is_ok()).await;
    }
    // One each: neither takes a second before it has settled the first.
    for worker in &mut workers {
        receive(worker).await.settle(Disposition::Ack).await.expect("settled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_that_works_is_not_replaced() {
    let host = Host::new();
    let full = json!({"pattern": ".*", "apply-to": "queues", "definition": {"max-length": 1}});
    host.put(&format!("policies/{}/full", host.name), &full);
    let publisher = host.publisher().await;
    let mut config = host.config();
    (config.replace_after, config.prove_every) = (Duration::from_millis(100), Duration::from_millis(100));
    let mut consumer = Consumer::start(&config, "w", &deletions(1), &publisher);
    eventually("published", async || publisher.publish(&deletion()).await.is_ok()).await;
    let held = receive(&mut consumer).await;
    let mut refused = 0;
    // For longer than the broker is left alone, and than a queue may not work.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        refused += u32::from(publisher.publish(&deletion()).await.is_err());
        a_moment().await;
    }
    assert!(refused > 3, "it was full");
    assert!(consumer.take_replaced().is_empty());
    assert_eq!(consumer.status(), ConsumerStatus::Consuming);
    held.settle(Disposition::Ack).await.expect("settled");
    receive(&mut consumer).await.settle(Disposition::Ack).await.expect("settled");
}

/// A replacement of the job queue would not mend it.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_queue_of_dead_letters_has_other_properties_a_person_is_told_and_no_queue_is_replaced() {
    let host = Host::new();
    let publisher = host.publisher().await;
    eventually("published", async || publisher.publish(&deletion()).await.is_ok()).await;
    let dead = format!("queues/{}/{DEAD_QUEUE}", host.name);
    host.delete(&dead);
    host.put(&dead, &json!({"durable": true, "arguments": {"x-queue-type": "classic"}}));
    let mut config = host.config();
    config.replace_after = Duration::from_millis(100);
    let mut consumer = Consumer::start(&config, "w", &deletions(1), &publisher);
    for _ in 0..20 {
        let why =
            async || matches!(consumer.status(), ConsumerStatus::Waiting { why } if why.contains("\"dead\" exists"));
        eventually("the status says why", why).await;
        a_moment().await;
    }
    assert!(consumer.take_replaced().is_empty());
    host.delete(&dead);
    receive(&mut consumer).await.settle(Disposition::Ack).await.expect("settled");
}
