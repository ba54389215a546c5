//! Losing the broker, a channel or a queue, and coming back.

use std::time::{Duration, Instant};

use crate::support::DELETE_QUEUE;
use broker::{Consumer, ConsumerStatus, Disposition, Error, Publisher, PublisherStatus};

use crate::proxy::{Passage, Proxy, a_moment};
use crate::support::{Host, config, deletion, deletions, eventually, receive};

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_connection_is_closed_comes_back_and_gets_the_delivery_again() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(10), &publisher).await;
    publisher.publish(&deletion()).await.expect("published");
    let first = receive(&mut consumer).await;
    let id = first.message_id().map(str::to_owned);

    host.close_connections("consumer").await;
    let second = receive(&mut consumer).await;
    assert_eq!(second.message_id(), id.as_deref());
    assert!(second.redelivered);
    assert!(matches!(first.settle(Disposition::Ack).await, Err(Error::SettleLost { .. })));
    second.settle(Disposition::Ack).await.expect("settled");
    assert_eq!(consumer.status(), ConsumerStatus::Consuming);
    consumer.close().await;
    host.until_depth(DELETE_QUEUE, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_whose_connection_is_closed_comes_back() {
    let host = Host::new();
    let publisher = host.publisher().await;
    for _ in 0..3 {
        publisher.publish(&deletion()).await.expect("published");
        host.close_connections("publisher").await;
        eventually("messages flow again", async || publisher.publish(&deletion()).await.is_ok()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_deleted_under_the_consumer_is_made_anew_and_consumed() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(10), &publisher).await;
    for _ in 0..2 {
        publisher.publish(&deletion()).await.expect("published");
        receive(&mut consumer).await.settle(Disposition::Ack).await.expect("settled");
        host.delete_queue(DELETE_QUEUE);
        eventually("messages flow again", async || publisher.publish(&deletion()).await.is_ok()).await;
        receive(&mut consumer).await.settle(Disposition::Ack).await.expect("settled");
        eventually("it consumes", async || consumer.status() == ConsumerStatus::Consuming).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_the_broker_lost_without_a_word_is_made_anew() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(2), &publisher).await;
    // Deleted and declared again at once: RabbitMQ 3.10 does not tell the consumer, and sends it nothing it can see.
    let another = host.publisher().await;
    host.delete_queue(DELETE_QUEUE);
    for _ in 0..5 {
        eventually("published", async || another.publish(&deletion()).await.is_ok()).await;
    }
    for _ in 0..5 {
        receive(&mut consumer).await.settle(Disposition::Ack).await.expect("settled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_late_is_waited_for() {
    let host = Host::new();
    let proxy = Proxy::new(&host, Passage::Refused).await;
    let publisher = Publisher::start(&config(&proxy.url));
    let mut consumer = Consumer::start(&config(&proxy.url), "w", &deletions(1), &publisher);
    a_moment().await;
    assert!(matches!(publisher.status(), PublisherStatus::Disconnected { .. }));
    assert!(matches!(consumer.status(), ConsumerStatus::Waiting { .. }));
    proxy.set(Passage::Open);
    publisher.connected().await;
    eventually("published", async || publisher.publish(&deletion()).await.is_ok()).await;
    receive(&mut consumer).await.settle(Disposition::Ack).await.expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_away_again_and_again_is_found_again() {
    let host = Host::new();
    let proxy = Proxy::new(&host, Passage::Open).await;
    let publisher = Publisher::start(&config(&proxy.url));
    let mut consumer = Consumer::start(&config(&proxy.url), "w", &deletions(5), &publisher);
    for _ in 0..3 {
        eventually("published", async || publisher.publish(&deletion()).await.is_ok()).await;
        let held = receive(&mut consumer).await;
        proxy.set(Passage::Refused);
        eventually("it is missed", async || matches!(consumer.status(), ConsumerStatus::Waiting { .. })).await;
        assert!(matches!(held.settle(Disposition::Ack).await, Err(Error::SettleLost { .. })));
        proxy.set(Passage::Open);
        let again = receive(&mut consumer).await;
        assert!(again.redelivered);
        again.settle(Disposition::Ack).await.expect("settled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_buffered_when_the_connection_was_lost_is_not_handed_out_any_more() {
    let host = Host::new();
    let proxy = Proxy::new(&host, Passage::Open).await;
    let publisher = host.publisher().await;
    for _ in 0..5 {
        publisher.publish(&deletion()).await.expect("published");
    }
    let mut consumer = Consumer::start(&config(&proxy.url), "w", &deletions(5), &publisher);
    let first = receive(&mut consumer).await;
    eventually("all five are sent", async || host.depth(DELETE_QUEUE).await == Some(0)).await;
    a_moment().await;
    proxy.set(Passage::Refused);
    eventually("it is missed", async || matches!(consumer.status(), ConsumerStatus::Waiting { .. })).await;
    proxy.set(Passage::Open);
    for _ in 0..5 {
        let delivery = receive(&mut consumer).await;
        assert!(delivery.redelivered);
        delivery.settle(Disposition::Ack).await.expect("a delivery that is handed out can be settled");
    }
    assert!(first.settle(Disposition::Ack).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_swallows_everything_is_noticed_by_the_heartbeat() {
    let host = Host::new();
    let proxy = Proxy::new(&host, Passage::Open).await;
    let publisher = host.publisher().await;
    let mut consumer = Consumer::start(&config(&format!("{}?heartbeat=1", proxy.url)), "w", &deletions(5), &publisher);
    eventually("it consumes", async || consumer.status() == ConsumerStatus::Consuming).await;
    proxy.set(Passage::Held);
    let began = Instant::now();
    eventually("it is missed", async || matches!(consumer.status(), ConsumerStatus::Waiting { .. })).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    proxy.set(Passage::Open);
    publisher.publish(&deletion()).await.expect("published");
    receive(&mut consumer).await.settle(Disposition::Ack).await.expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_dropped_leaves_no_socket_behind() {
    let host = Host::new();
    let proxy = Proxy::new(&host, Passage::Open).await;
    let before = proxy.open();
    let publisher = Publisher::start(&config(&proxy.url));
    publisher.connected().await;
    assert!(proxy.open() > before);
    // Nobody reads our goodbye, and lapin would wait for its answer.
    proxy.raise_alarm();
    eventually("the alarm is seen", async || publisher.status() == PublisherStatus::Blocked).await;
    drop(publisher);
    eventually("the socket is closed", async || proxy.open() == before).await;
}
