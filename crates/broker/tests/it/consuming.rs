//! Deliveries and what becomes of them.

use std::time::Duration;

use crate::support::DELETE_QUEUE;
use broker::{Consumer, ConsumerStatus, Disposition};
use messages::Envelope;
use serde_json::json;

use crate::proxy::a_moment;
use crate::support::{Host, deletion, deletions, eventually, queue, receive, upload};

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_acknowledged_is_gone() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(10), &publisher).await;
    let envelope = deletion();
    publisher.publish(&envelope).await.expect("published");
    let delivery = receive(&mut consumer).await;
    assert_eq!(Envelope::decode(&delivery.body).as_ref(), Ok(&envelope));
    assert_eq!((delivery.queue.as_str(), delivery.redelivered), (DELETE_QUEUE, false));
    assert_eq!(delivery.message_id(), Some(envelope.message_id.to_string().as_str()));
    assert_eq!(delivery.kind(), Some("media.delete.v1"));
    delivery.settle(Disposition::Ack).await.expect("settled");
    consumer.close().await;
    host.until_depth(DELETE_QUEUE, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_requeued_comes_again_and_says_so() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(10), &publisher).await;
    publisher.publish(&deletion()).await.expect("published");
    let first = receive(&mut consumer).await;
    let id = first.message_id().map(str::to_owned);
    first.settle(Disposition::Requeue).await.expect("settled");
    let second = receive(&mut consumer).await;
    assert_eq!(second.message_id(), id.as_deref());
    assert!(second.redelivered);
    second.settle(Disposition::Ack).await.expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_was_dropped_goes_to_another_worker_after_close() {
    let host = Host::new();
    let publisher = host.publisher().await;
    publisher.publish(&deletion()).await.expect("published");
    let mut first = host.consumer("one", &deletions(10), &publisher).await;
    drop(receive(&mut first).await);
    first.close().await;
    let mut second = host.consumer("two", &deletions(10), &publisher).await;
    assert!(receive(&mut second).await.redelivered);
}

#[tokio::test(flavor = "multi_thread")]
async fn prefetch_bounds_what_is_unsettled_queue_by_queue() {
    let host = Host::new();
    let publisher = host.publisher().await;
    for _ in 0..5 {
        publisher.publish(&deletion()).await.expect("published");
        publisher.publish(&upload("here")).await.expect("published");
    }
    let queues = [queue(DELETE_QUEUE, 2), queue("media.upload.here", 1)];
    let mut consumer = host.consumer("w", &queues, &publisher).await;
    let mut held = vec![receive(&mut consumer).await, receive(&mut consumer).await, receive(&mut consumer).await];
    held.sort_by(|one, other| one.queue.cmp(&other.queue));
    let queues: Vec<_> = held.iter().map(|delivery| delivery.queue.as_str()).collect();
    assert_eq!(queues, [DELETE_QUEUE, DELETE_QUEUE, "media.upload.here"]);
    a_moment().await;
    assert!(tokio::time::timeout(Duration::ZERO, consumer.recv()).await.is_err(), "a fourth is one too many");
    held.pop().expect("an upload").settle(Disposition::Ack).await.expect("settled");
    assert_eq!(receive(&mut consumer).await.queue, "media.upload.here");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_gives_back_what_was_not_received_and_lets_the_rest_finish() {
    let host = Host::new();
    let publisher = host.publisher().await;
    for _ in 0..10 {
        publisher.publish(&deletion()).await.expect("published");
    }
    let mut consumer = host.consumer("w", &deletions(5), &publisher).await;
    let running = receive(&mut consumer).await;
    consumer.stop().await;
    assert_eq!(consumer.status(), ConsumerStatus::Stopped);
    assert!(consumer.recv().await.is_none());
    host.until_depth(DELETE_QUEUE, 9).await;
    running.settle(Disposition::Ack).await.expect("settled after the stop");
    consumer.close().await;
    host.until_depth(DELETE_QUEUE, 9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_keeps_its_messages_while_others_are_consumed_and_goes_on_when_it_is_resumed() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let queues = [queue(DELETE_QUEUE, 5), queue("media.upload.here", 5)];
    let mut consumer = host.consumer("w", &queues, &publisher).await;
    publisher.publish(&deletion()).await.expect("published");
    let running = receive(&mut consumer).await;
    consumer.pause([DELETE_QUEUE.to_owned()].into());
    running.settle(Disposition::Ack).await.expect("settled during the pause");
    let waiting = async || {
        let found = host.get(&host.queue(DELETE_QUEUE));
        found["consumers"].as_u64() == Some(0)
    };
    eventually("nobody consumes the paused queue", waiting).await;
    publisher.publish(&deletion()).await.expect("published");
    publisher.publish(&upload("here")).await.expect("published");
    assert_eq!(receive(&mut consumer).await.queue, "media.upload.here");
    host.until_depth(DELETE_QUEUE, 1).await;
    assert_eq!(consumer.status(), ConsumerStatus::Consuming, "nothing is wrong with it");

    consumer.pause(Default::default());
    let next = receive(&mut consumer).await;
    assert_eq!(next.queue, DELETE_QUEUE);
    next.settle(Disposition::Ack).await.expect("settled");
    host.until_depth(DELETE_QUEUE, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_without_a_broker_does_not_hang() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let nowhere = crate::support::config("amqp://guest:guest@127.0.0.1:1/%2f");
    let mut consumer = Consumer::start(&nowhere, "w", &deletions(5), &publisher);
    let stopping = async {
        consumer.stop().await;
        consumer.close().await;
    };
    tokio::time::timeout(Duration::from_secs(10), stopping).await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_another_kind_keeps_the_consumer_unready_and_spares_the_other_queues() {
    let host = Host::new();
    let other = json!({"durable": true, "arguments": {"x-queue-type": "quorum"}});
    host.put(&host.queue(DELETE_QUEUE), &other);
    let publisher = host.publisher().await;
    publisher.publish(&upload("here")).await.expect("published");
    let queues = [queue(DELETE_QUEUE, 1), queue("media.upload.here", 1)];
    let mut consumer = Consumer::start(&host.config(), "w", &queues, &publisher);
    receive(&mut consumer).await.settle(Disposition::Ack).await.expect("settled");
    eventually(
        "the status says why",
        async || matches!(consumer.status(), ConsumerStatus::Waiting { why } if why.contains("drain and delete it")),
    )
    .await;
    host.delete_queue(DELETE_QUEUE);
    eventually("it consumes", async || consumer.status() == ConsumerStatus::Consuming).await;
}
