//! Queues of an earlier version, and queues that do not work.

use std::time::Duration;

use broker::{Consumer, ConsumerStatus, Disposition};
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use messages::Envelope;
use messages::topology::{DEAD_EXCHANGE, JOBS_EXCHANGE};
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
    let consumer = host.consumer("w", &deletions(10), &publisher).await;
    assert_eq!(replaced(&consumer).await, [DELETE_QUEUE]);
    eventually("it is gone", async || !host.has_former()).await;

    host.declare_former();
    host.close_connections("consumer").await;
    assert_eq!(replaced(&consumer).await, [DELETE_QUEUE]);
    eventually("it is gone again", async || !host.has_former()).await;
    eventually("it consumes", async || consumer.status() == ConsumerStatus::Consuming).await;
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
