//! Subscribing to channels, their profiles, and lists of subscriptions.

use mongodb::bson::{Document, doc, oid::ObjectId};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, TestEnv};

use crate::support::{Member, World, assert_accepted, assert_refused};

fn path(channel: &Member) -> String {
    format!("/api/v1/subscriptions/c/{}", channel.id)
}

async fn send(member: &Member, method: Method, path: &str) -> Answer {
    member.client.send(member.client.request(method, path)).await
}

async fn toggle(member: &Member, channel: &Member) -> Answer {
    send(member, Method::POST, &path(channel)).await
}

async fn profile(member: &Member, channel: &Member) -> Value {
    let answer = member.client.get(&format!("/api/v1/users/c/{}", channel.name)).await;
    assert_accepted(&answer, 200);
    answer.data().clone()
}

#[tokio::test]
async fn a_toggle_subscribes_and_unsubscribes_and_the_reader_sees_it_at_once() {
    let world = World::start().await;
    let (ada, channel) = (world.member().await, world.member().await);
    for (subscribed, count) in [(true, 1), (false, 0), (true, 1)] {
        let answer = toggle(&ada, &channel).await;
        assert_accepted(&answer, 200);
        assert_eq!(answer.data(), &json!({"subscribed": subscribed, "isSubscribed": subscribed}));
        let seen = profile(&ada, &channel).await;
        assert_eq!((&seen["isSubscribed"], &seen["subscribersCount"]), (&json!(subscribed), &json!(count)));
        assert_eq!(profile(&ada, &ada).await["channelsSubscribedToCount"], count);
    }
    world.end().await;
}

#[tokio::test]
async fn put_and_delete_say_what_they_want_however_often() {
    let world = World::start().await;
    let (ada, channel) = (world.member().await, world.member().await);
    for (method, subscribed) in [(Method::PUT, true), (Method::DELETE, false)] {
        for _ in 0..3 {
            let answer = send(&ada, method.clone(), &path(&channel)).await;
            assert_accepted(&answer, 200);
            assert_eq!(answer.data()["subscribed"], subscribed);
        }
        assert_eq!(profile(&ada, &channel).await["isSubscribed"], subscribed);
    }
    world.end().await;
}

#[tokio::test]
async fn toggles_at_once_leave_what_their_number_says() {
    let world = World::start().await;
    let (ada, channel) = (world.member().await, world.member().await);
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..9 {
        let (client, path) = (ada.client.clone(), path(&channel));
        racers.spawn(async move { client.send(client.request(Method::POST, &path)).await });
    }
    let answers = racers.join_all().await;
    answers.iter().for_each(|answer| assert_accepted(answer, 200));
    assert_eq!(answers.iter().filter(|answer| answer.data()["subscribed"] == true).count(), 5);
    let seen = profile(&ada, &channel).await;
    assert_eq!((&seen["isSubscribed"], &seen["subscribersCount"]), (&json!(true), &json!(1)));
    world.end().await;
}

#[tokio::test]
async fn others_see_the_count_as_soon_as_a_worker_has_counted() {
    let world = World::start().await;
    let (ada, bob, channel) = (world.member().await, world.member().await, world.member().await);
    for subscriber in [&ada, &bob] {
        toggle(subscriber, &channel).await.expect(200);
    }
    assert_eq!(profile(&channel, &channel).await["subscribersCount"], 0);
    let worker = world.env.worker().await;
    TestEnv::until("the channel is counted", || async { profile(&channel, &channel).await["subscribersCount"] == 2 })
        .await;
    // A reader's own changes are read of one moment, which may lie a little before what others have seen.
    TestEnv::until("who has subscribed sees it too", || async {
        profile(&ada, &channel).await["subscribersCount"] == 2
    })
    .await;
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn a_profile_has_the_fields_that_front_ends_read() {
    let world = World::start().await;
    let (ada, channel) = (world.member().await, world.member().await);
    let seen = profile(&ada, &channel).await;
    let expected = json!({
        "_id": channel.id.to_string(), "fullName": "Test User", "username": channel.name,
        "email": format!("{}@example.com", channel.name), "avatar": "", "coverImage": "",
        "subscribersCount": 0, "channelsSubscribedToCount": 0, "isSubscribed": false,
    });
    assert_eq!(seen, expected);
    let loudly = format!("/API/v1/users/C/%20{}%20/", channel.name.to_uppercase());
    assert_eq!(ada.client.get(&loudly).await.expect(200).data(), &expected);
    assert_refused(&ada.client.get("/api/v1/users/c/nobody-of-this-name").await, 404, &[]);
    assert_refused(&world.api.get(&format!("/api/v1/users/c/{}", channel.name)).await, 401, &[]);
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_refused_and_changes_nothing() {
    let world = World::start().await;
    let ada = world.member().await;
    let nobody = ObjectId::new();
    let before = world.env.census().await;
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = send(&ada, method.clone(), &path(&ada)).await;
        world.refused(before, &answer, 422, &["channelId"]).await;
        let answer = send(&ada, method.clone(), &format!("/api/v1/subscriptions/c/{nobody}")).await;
        world.refused(before, &answer, 404, &[]).await;
        for malformed in ["undefined", "65a1", "zzzzzzzzzzzzzzzzzzzzzzzz", "%ff"] {
            let answer = send(&ada, method.clone(), &format!("/api/v1/subscriptions/c/{malformed}")).await;
            world.refused(before, &answer, 422, &["channelId"]).await;
        }
        let request = world.api.request(method, &path(&ada));
        world.refused(before, &world.api.send(request).await, 401, &[]).await;
    }
    let subscriptions = world.env.database().collection::<Document>("subscriptions");
    assert_eq!(subscriptions.count_documents(doc! {}).await.expect("an answer"), 0);
    world.end().await;
}

#[tokio::test]
async fn lists_are_plain_arrays_with_a_cursor_beside_them() {
    let world = World::start().await;
    let channel = world.member().await;
    let mut members = Vec::new();
    for _ in 0..3 {
        let member = world.member().await;
        toggle(&member, &channel).await.expect(200);
        members.push(member);
    }
    // Of a user who no longer exists, as chai-backend leaves them.
    let ghost = doc! { "subscriber": ObjectId::new(), "channel": ObjectId::from_bytes(channel.id.bytes()), "__v": 0 };
    world.env.database().collection("subscriptions").insert_one(ghost).await.expect("inserted");

    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    for _ in 0..2 {
        let answer = channel.client.get(&format!("{}{query}", path(&channel))).await;
        assert_accepted(&answer, 200);
        for item in answer.data().as_array().expect("an array") {
            assert_eq!(item["channel"], channel.id.to_string());
            seen.push(item["subscriber"].clone());
        }
        let cursor = answer.body["nextCursor"].clone();
        query = format!("?limit=2&cursor={}", cursor.as_str().unwrap_or_default());
        assert_eq!(cursor.is_null(), seen.len() == 3, "{}", answer.body);
    }
    members.reverse();
    let expected: Vec<Value> = members
        .iter()
        .map(|member| json!({"_id": member.id.to_string(), "username": member.name, "fullName": "Test User", "avatar": ""}))
        .collect();
    assert_eq!(seen, expected);

    let answer = channel.client.get(&format!("/api/v1/subscriptions/u/{}", members[0].id)).await;
    assert_accepted(&answer, 200);
    let list = answer.data().as_array().expect("an array");
    assert_eq!(list.len(), 1);
    assert_eq!(
        (&list[0]["channel"]["username"], &list[0]["subscriber"]),
        (&json!(channel.name), &json!(members[0].id))
    );
    assert!(list[0]["createdAt"].as_str().is_some_and(|time| time.ends_with('Z')), "{list:?}");
    assert_eq!(answer.body["nextCursor"], Value::Null);
    world.end().await;
}

#[tokio::test]
async fn a_list_of_nobody_is_404_and_a_malformed_question_is_422_and_named() {
    let world = World::start().await;
    let ada = world.member().await;
    let nobody = ObjectId::new();
    for (route, field) in [("c", "channelId"), ("u", "subscriberId")] {
        let base = format!("/api/v1/subscriptions/{route}");
        assert_eq!(ada.client.get(&format!("{base}/{}", ada.id)).await.expect(200).data(), &json!([]));
        assert_refused(&ada.client.get(&format!("{base}/{nobody}")).await, 404, &[]);
        assert_refused(&ada.client.get(&format!("{base}/undefined")).await, 422, &[field]);
        assert_refused(&world.api.get(&format!("{base}/{}", ada.id)).await, 401, &[]);
        for (query, field) in [("cursor=last", "cursor"), ("limit=0", "limit"), ("limit=1&limit=2", "limit")] {
            assert_refused(&ada.client.get(&format!("{base}/{}?{query}", ada.id)).await, 422, &[field]);
        }
        ada.client.get(&format!("{base}/{}?cursor=&limit=", ada.id)).await.expect(200);
    }
    world.end().await;
}
