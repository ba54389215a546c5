//! What waits for a person.

use broker::{Admin, DeadLetter, Disposition};
use messages::topology::{DEAD_EXCHANGE, DELETE_QUEUE};
use serde_json::json;

use crate::support::{Host, deletion, deletions, eventually, receive};

async fn letters(host: &Host) -> Vec<DeadLetter> {
    let admin = Admin::connect(&host.config()).await.expect("the broker");
    let letters = admin.dead_letters(100).await.expect("a list");
    admin.close().await;
    letters
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_carries_reason_queue_kind_and_the_very_body() {
    let host = Host::new();
    assert_eq!(letters(&host).await, []);
    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(1), &publisher).await;
    let envelope = deletion();
    publisher.publish(&envelope).await.expect("published");
    let reason = "unknown kind \"media.fold.v1\" – deploy a newer worker".to_owned();
    let delivery = receive(&mut consumer).await;
    delivery.settle(Disposition::DeadLetter { reason: reason.clone() }).await.expect("settled");
    let expected = DeadLetter {
        reason,
        queue: DELETE_QUEUE.to_owned(),
        kind: Some("media.delete.v1".to_owned()),
        message_id: Some(envelope.message_id.to_string()),
        body: envelope.encode(),
    };
    let expected = [expected];
    assert_eq!(letters(&host).await, expected);
    assert_eq!(letters(&host).await, expected, "looking does not take it away");
    consumer.close().await;
    assert_eq!(host.depth(DELETE_QUEUE).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_envelope_is_kept_as_it_is() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(1), &publisher).await;
    let noise = json!({"properties": {}, "routing_key": DELETE_QUEUE, "payload": "AP/+", "payload_encoding": "base64"});
    host.post(&format!("exchanges/{}/steep.jobs/publish", host.name), &noise);
    let delivery = receive(&mut consumer).await;
    assert_eq!(delivery.body, [0x00, 0xff, 0xfe]);
    assert_eq!((delivery.message_id(), delivery.kind()), (None, None));
    let reason = "x".repeat(100_000);
    delivery.settle(Disposition::DeadLetter { reason }).await.expect("settled");
    let letters = letters(&host).await;
    assert_eq!(letters[0].body, [0x00, 0xff, 0xfe]);
    assert_eq!(letters[0].reason, "x".repeat(1000), "shortened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_cannot_be_published_is_dead_lettered_by_the_broker() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(1), &publisher).await;
    let envelope = deletion();
    publisher.publish(&envelope).await.expect("published");
    let delivery = receive(&mut consumer).await;
    publisher.close().await;
    delivery.settle(Disposition::DeadLetter { reason: "ours".to_owned() }).await.expect("settled");
    eventually("the letter is there", async || !letters(&host).await.is_empty()).await;
    let letters = letters(&host).await;
    assert_eq!((letters[0].reason.as_str(), letters[0].queue.as_str()), ("rejected", DELETE_QUEUE));
    assert_eq!(letters[0].body, envelope.encode());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_letters_are_shown_first_and_at_most_as_many_as_asked_for() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let _consumer = host.consumer("w", &deletions(1), &publisher).await;
    for number in 0..5 {
        let body = json!({"properties": {"delivery_mode": 2}, "routing_key": "", "payload": number.to_string(), "payload_encoding": "string"});
        host.post(&format!("exchanges/{}/{DEAD_EXCHANGE}/publish", host.name), &body);
    }
    let admin = Admin::connect(&host.config()).await.expect("the broker");
    for _ in 0..3 {
        let bodies: Vec<_> = admin.dead_letters(3).await.expect("a list").into_iter().map(|one| one.body).collect();
        assert_eq!(bodies, [b"0", b"1", b"2"]);
    }
    eventually("all are there", async || host.depth("dead").await == Some(5)).await;
}
