//! Receivers that fail, redirect, never stop, are gone, or fail for days.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::TestEnv;

use super::receiver::{Receiver, Says};
use super::{Story, attempts, sent_to_somebody_who};

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_gets_the_same_message_again() {
    let begun = Instant::now();
    let (story, worker) = sent_to_somebody_who([Says::Status(500), Says::Status(404), Says::Later(2)]).await;
    let deliveries = story.until_all(1, "delivered").await;
    assert!(begun.elapsed() >= Duration::from_secs(2), "it was asked to wait");
    let failed = |status: u16| (json!(status), json!("status"));
    let expected = [failed(500), failed(404), failed(503), (json!(204), Value::Null)];
    assert_eq!(attempts(&deliveries[0]), expected);
    let received = story.receiver.received();
    let ids: BTreeSet<&str> = received.iter().map(|message| message.id.as_str()).collect();
    let bodies: BTreeSet<&[u8]> = received.iter().map(|message| &message.body[..]).collect();
    assert_eq!((received.len(), ids.len(), bodies.len()), (4, 1, 1));
    assert!(received.iter().all(|message| message.is_signed_by(&story.secret)));
    let endpoint = story.endpoint().await;
    assert_eq!((&endpoint["enabled"], &endpoint["failingSince"]), (&json!(true), &Value::Null));
    story.end(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed_and_an_answer_without_end_is_cut_off() {
    let elsewhere = Receiver::start().await;
    let (story, worker) = sent_to_somebody_who([Says::Redirect(elsewhere.url.clone()), Says::Endlessly]).await;
    let deliveries = story.until_all(1, "delivered").await;
    let expected = [(json!(307), json!("redirect")), (json!(200), Value::Null)];
    assert_eq!(attempts(&deliveries[0]), expected);
    assert_eq!(elsewhere.received().len(), 0);
    story.end(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_says_that_it_is_gone_is_disabled_at_once_and_gets_nothing_until_it_is_enabled() {
    let (story, worker) = sent_to_somebody_who([Says::Status(410)]).await;
    let deliveries = story.until_all(1, "failed").await;
    assert_eq!(attempts(&deliveries[0]), [(json!(410), json!("gone"))]);
    let endpoint = story.endpoint().await;
    assert_eq!((&endpoint["enabled"], &endpoint["disabled"]["code"]), (&json!(false), &json!("gone")));

    story.upload().await;
    TestEnv::until("it is skipped", async || story.deliveries().await.len() == 2).await;
    story.until_nothing_waits().await;
    let newest = &story.deliveries().await[0];
    assert_eq!((&newest["state"], &newest["reason"]), (&json!("skipped"), &json!("the endpoint was disabled")));
    assert_eq!(story.receiver.received().len(), 1);

    story.send(Method::PATCH, "", &json!({"enabled": true})).await.expect(200);
    story.upload().await;
    story.receiver.until_received(2).await;
    story.end(worker).await;
}

/// A delivery that fails for good, to an endpoint at which nothing has arrived for so many days.
async fn fails_for_good_after(days: i64) -> (Story, worker::Running) {
    let env = TestEnv::start_with(|config| config.max_attempts = 3).await;
    let story = Story::begin(env, &["*"]).await;
    story.receiver.usually_says(500);
    let endpoints = story.env.database().collection::<Document>("webhook_endpoints");
    let ago = days * 24 * 60 * 60 * 1000;
    let failing = vec![doc! { "$set": { "failingSince": { "$subtract": ["$$NOW", ago] } } }];
    endpoints.update_one(doc! {}, failing).await.expect("an answer");
    let worker = story.env.worker().await;
    story.upload().await;
    let deliveries = story.until_all(1, "failed").await;
    assert_eq!(attempts(&deliveries[0]).len(), 3, "{deliveries:?}");
    assert!(deliveries[0]["reason"].is_string(), "{deliveries:?}");
    (story, worker)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_at_which_nothing_arrives_for_days_is_disabled_and_says_so() {
    let (story, worker) = fails_for_good_after(6).await;
    let endpoint = story.endpoint().await;
    assert_eq!((&endpoint["enabled"], &endpoint["disabled"]["code"]), (&json!(false), &json!("failing")));
    assert!(endpoint["disabled"]["reason"].as_str().is_some_and(|reason| reason.contains("five days")), "{endpoint}");
    let enabled = story.send(Method::PATCH, "", &json!({"enabled": true})).await.expect(200);
    let seen = ["enabled", "disabled", "failingSince"].map(|field| enabled.data()[field].clone());
    assert_eq!(seen, [json!(true), Value::Null, Value::Null]);
    story.end(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_has_failed_for_less_is_left_enabled() {
    let (story, worker) = fails_for_good_after(4).await;
    let endpoint = story.endpoint().await;
    assert_eq!((&endpoint["enabled"], &endpoint["disabled"]), (&json!(true), &Value::Null));
    assert!(endpoint["failingSince"].is_string(), "{endpoint}");
    story.end(worker).await;
}
