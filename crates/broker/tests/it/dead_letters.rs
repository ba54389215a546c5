//! What waits for a person.

use broker::{Admin, DeadLetter, Disposition};
use messages::Envelope;
use messages::topology::DEAD_EXCHANGE;

use crate::support::DELETE_QUEUE;
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
    let found = letters(&host).await;
    let [letter] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((letter.reason.as_str(), letter.queue.as_str()), (reason.as_str(), DELETE_QUEUE));
    assert_eq!(letter.kind.as_deref(), Some("media.delete.v1"));
    assert_eq!(letter.message_id, Some(envelope.message_id.to_string()));
    assert_eq!(letter.body, envelope.encode());
    assert!(letter.died_at.is_some_and(|at| at >= sent_at(&envelope)), "{letter:?}");
    let written = |name: &str| letter.outside.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(written("content_type"), Some("application/json"));
    assert_eq!(written("timestamp"), Some(sent_at(&envelope).to_string().as_str()));
    assert_eq!(written("x-steep-reason"), Some(reason.as_str()));
    assert_eq!(letters(&host).await, found, "looking does not take it away");
    consumer.close().await;
    host.until_depth(DELETE_QUEUE, 0).await;
}

fn sent_at(envelope: &Envelope) -> u64 {
    u64::try_from(envelope.enqueued_at.unix_timestamp()).expect("after 1970")
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
async fn a_message_whose_dead_letter_cannot_be_published_comes_again_and_keeps_its_reason() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(1), &publisher).await;
    let envelope = deletion();
    publisher.publish(&envelope).await.expect("published");
    let delivery = receive(&mut consumer).await;
    publisher.close().await;
    delivery.settle(Disposition::DeadLetter { reason: "ours".to_owned() }).await.expect("settled");
    let again = receive(&mut consumer).await;
    assert!(again.redelivered);
    assert_eq!(again.body, envelope.encode());
    assert_eq!(letters(&host).await, []);
    consumer.close().await;

    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(1), &publisher).await;
    let reason = "ours".to_owned();
    receive(&mut consumer).await.settle(Disposition::DeadLetter { reason }).await.expect("settled");
    let letters = letters(&host).await;
    assert_eq!((letters[0].reason.as_str(), letters[0].queue.as_str()), ("ours", DELETE_QUEUE));
    consumer.close().await;
    host.until_depth(DELETE_QUEUE, 0).await;
}

/// Puts these bodies straight into the dead-letter queue.
fn park(host: &Host, bodies: &[&str]) {
    for body in bodies {
        let message = json!({"properties": {"delivery_mode": 2, "message_id": "m", "headers": {"x-steep-queue": DELETE_QUEUE}},
            "routing_key": "", "payload": body, "payload_encoding": "string"});
        host.post(&format!("exchanges/{}/{DEAD_EXCHANGE}/publish", host.name), &message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_replayed_arrives_byte_for_byte_and_the_others_stay_in_their_order() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let mut consumer = host.consumer("w", &deletions(1), &publisher).await;
    park(&host, &["first", "second ", "third", "fourth"]);
    let admin = Admin::connect(&host.config()).await.expect("the broker");
    let mut queue = admin.dead_queue().await.expect("a channel");
    while let Some(letter) = queue.next().await.expect("an answer") {
        if letter.body == b"second " || letter.body == b"fourth" {
            queue.replay(DELETE_QUEUE, &publisher).await.expect("replayed");
        }
    }
    assert!(letters(&host).await.is_empty(), "who goes through them is alone with them");
    queue.close().await.expect("let go");
    for body in [&b"second "[..], b"fourth"] {
        let delivery = receive(&mut consumer).await;
        assert_eq!((delivery.body.as_slice(), delivery.message_id()), (body, Some("m")));
        delivery.settle(Disposition::Ack).await.expect("settled");
    }
    let left: Vec<_> = letters(&host).await.into_iter().map(|letter| letter.body).collect();
    assert_eq!(left, [&b"first"[..], b"third"]);
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_cannot_be_published_stays() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let _consumer = host.consumer("w", &deletions(1), &publisher).await;
    park(&host, &["precious"]);
    publisher.close().await;
    let admin = Admin::connect(&host.config()).await.expect("the broker");
    let mut queue = admin.dead_queue().await.expect("a channel");
    queue.next().await.expect("an answer").expect("a letter");
    queue.replay(DELETE_QUEUE, &publisher).await.expect_err("there is no connection to publish over");
    admin.close().await;
    eventually("it is back", async || letters(&host).await.len() == 1).await;
    assert_eq!(host.depth(DELETE_QUEUE).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_letters_have_the_same_id_and_others_do_not() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let _consumer = host.consumer("w", &deletions(1), &publisher).await;
    park(&host, &["twice", "twice", "once"]);
    let ids: Vec<String> = letters(&host).await.into_iter().map(|letter| letter.id).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
    assert!(ids.iter().all(|id| id.len() == 12 && id.bytes().all(|digit| digit.is_ascii_hexdigit())), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_right_after_another_has_looked_sees_every_letter() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let _consumer = host.consumer("w", &deletions(1), &publisher).await;
    park(&host, &["noise", "unknown", "old"]);
    let [first, second] = [(); 2].map(|()| host.config());
    let first = Admin::connect(&first).await.expect("the broker");
    let second = Admin::connect(&second).await.expect("the broker");
    for round in 0..50 {
        for admin in [&first, &second] {
            assert_eq!(admin.dead_letters(100).await.expect("a list").len(), 3, "in round {round}");
        }
    }
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
