//! Sending again what was sent, and what was missed.

use std::collections::BTreeSet;

use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::TestEnv;

use super::Story;

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_replayed_under_the_same_id() {
    let story = Story::of_uploads().await;
    let worker = story.env.worker().await;
    for _ in 0..2 {
        story.upload().await;
    }
    let deliveries = story.until_all(2, "delivered").await;
    let id = deliveries[1]["id"].as_str().expect("an id");
    let replayed = story.send(Method::POST, &format!("/deliveries/{id}/replay"), &json!({})).await.expect(202);
    assert_eq!((&replayed.data()["id"], &replayed.data()["state"]), (&json!(id), &json!("pending")));
    story.receiver.until_received(3).await;
    let deliveries = story.until_all(2, "delivered").await;
    story.until_nothing_waits().await;
    let received = story.receiver.received();
    let of_it = received.iter().filter(|message| message.id == id).count();
    assert_eq!((received.len(), of_it), (3, 2));
    let attempts = deliveries.iter().map(|delivery| delivery["attempts"].as_array().map(Vec::len));
    assert_eq!(attempts.collect::<Vec<_>>(), [Some(1), Some(2)]);
    story.end(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_while_an_endpoint_was_disabled_is_replayed_by_range_and_paged() {
    let story = Story::of_uploads().await;
    let worker = story.env.worker().await;
    story.upload().await;
    story.until_all(1, "delivered").await;
    story.send(Method::PATCH, "", &json!({"enabled": false})).await.expect(200);
    for _ in 0..3 {
        story.upload().await;
    }
    TestEnv::until("three are skipped", async || story.deliveries().await.len() == 4).await;
    assert_eq!(story.receiver.received().len(), 1);

    let mut ids = Vec::new();
    let mut query = "?limit=3".to_owned();
    for _ in 0..2 {
        let page = story.user.get(&format!("{}/deliveries{query}", story.place)).await.expect(200);
        ids.extend(
            page.data().as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id").to_owned()),
        );
        let cursor = &page.body["nextCursor"];
        assert_eq!(cursor.is_null(), ids.len() == 4, "{}", page.body);
        query = format!("?limit=3&cursor={}", cursor.as_str().unwrap_or_default());
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4);

    story.send(Method::PATCH, "", &json!({"enabled": true})).await.expect(200);
    let missed = story.deliveries().await;
    // All but the first, which was not missed.
    let since = missed[2]["happenedAt"].clone();
    let range = json!({"since": since});
    let replayed = story.send(Method::POST, "/replay", &range).await.expect(202);
    assert_eq!(replayed.data(), &json!({"replayed": 3, "nextSince": Value::Null}));
    story.until_all(4, "delivered").await;
    story.until_nothing_waits().await;
    let received: BTreeSet<String> = story.receiver.received().into_iter().map(|message| message.id).collect();
    assert_eq!(received, ids.into_iter().collect());
    assert_eq!(story.receiver.received().len(), 4);

    let long_ago = json!({"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z"});
    let nothing = story.send(Method::POST, "/replay", &long_ago).await.expect(202);
    assert_eq!(nothing.data()["replayed"], 0);
    story.end(worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_waits_is_not_replayed() {
    let story = Story::of_uploads().await;
    story.receiver.usually_says(500);
    let worker = story.env.worker().await;
    story.upload().await;
    story.receiver.until_received(1).await;
    let deliveries = story.deliveries().await;
    let path = format!("/deliveries/{}/replay", deliveries[0]["id"].as_str().expect("an id"));
    let answer = story.send(Method::POST, &path, &json!({})).await.expect(202);
    assert_eq!(answer.data()["state"], "pending");
    let range = json!({"since": deliveries[0]["happenedAt"]});
    assert_eq!(story.send(Method::POST, "/replay", &range).await.expect(202).data()["replayed"], 0);
    story.receiver.usually_says(204);
    story.until_all(1, "delivered").await;
    story.until_nothing_waits().await;
    let jobs = story.env.database().collection::<Document>("jobs");
    let of_webhooks = doc! { "kind": "webhook.deliver.v1" };
    assert_eq!(jobs.count_documents(of_webhooks.clone()).await.expect("a count"), 1);

    let nothing = json!({});
    let replay = || story.send(Method::POST, &path, &nothing);
    let (a, b) = tokio::join!(replay(), replay());
    a.expect(202);
    b.expect(202);
    story.until_nothing_waits().await;
    let count = jobs.count_documents(of_webhooks).await.expect("a count");
    // The second may have come when the first was done.
    assert!((2..=3).contains(&count), "{count}");
    story.end(worker).await;
}
