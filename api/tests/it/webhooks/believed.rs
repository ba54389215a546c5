//! Which notifications are believed, and which change nothing.

use serde_json::{Value, json};
use testkit::CLOUDINARY_SECRET;

use super::{avatar, deletion, find, named, now, send, send_signed, signature, tell, with};
use crate::support::{World, assert_refused};

const TIMESTAMP: &str = "x-cld-timestamp";
const SIGNATURE: &str = "x-cld-signature";

#[tokio::test]
async fn what_cloudinary_did_not_sign_just_now_is_401_and_changes_nothing() {
    let world = World::start().await;
    let (member, worker) = (world.member().await, world.env.worker().await);
    let asset = avatar(&world, &member.client).await;
    let before = world.env.census().await;
    let body = deletion(&[&asset]).to_string();
    let now = now(&world).await;
    let signed = |at: i64| signature(&body, at, CLOUDINARY_SECRET);
    let time = |at: i64| (TIMESTAMP, at.to_string());
    let right = (SIGNATURE, signed(now));
    for headers in [
        vec![],
        vec![right.clone()],
        vec![time(now)],
        vec![time(now), (SIGNATURE, String::new())],
        vec![time(now), (SIGNATURE, signature(&body, now, "another secret"))],
        vec![time(now), (SIGNATURE, signature(&format!("{body} "), now, CLOUDINARY_SECRET))],
        vec![time(now + 1), right.clone()],
        vec![time(now), right.clone(), right.clone()],
        vec![time(now), time(now), right.clone()],
        // Signed as it should be, two hours ago and more, or by a clock that is far ahead.
        vec![time(now - 7_260), (SIGNATURE, signed(now - 7_260))],
        vec![time(0), (SIGNATURE, signed(0))],
        vec![time(-1), (SIGNATURE, signed(-1))],
        vec![time(now + 360), (SIGNATURE, signed(now + 360))],
        vec![(TIMESTAMP, "soon".to_owned()), right.clone()],
    ] {
        let answer = send(&world, &body, &headers).await;
        assert_eq!(answer.status, 401, "{headers:?}: {}", answer.body);
        world.refused(before, &answer, 401, &[]).await;
        assert_eq!(answer.body["type"], "urn:steep:problem:bad-signature");
        assert_eq!(find(&world, asset.id).await, asset, "{headers:?}");
    }
    assert_eq!(member.client.current_user().await["avatar"], asset.stored.as_ref().expect("stored").url.as_str());

    // The same bytes with what they lacked.
    for (at, status) in [(now - 7_100, 200), (now + 240, 200)] {
        let answer = send(&world, &body, &[time(at), (SIGNATURE, signed(at))]).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    assert_eq!(member.client.current_user().await["avatar"], "");
    worker.shutdown(std::future::pending()).await;
    world.end().await;
}

#[tokio::test]
async fn an_api_without_an_account_takes_none() {
    let world = World::with(&["--cloudinary-url="]).await;
    let answer = send_signed(&world, &json!({"notification_type": "upload"}).to_string()).await;
    assert_refused(&answer, 404, &[]);
    assert!(answer.body["detail"].as_str().is_some_and(|text| text.contains("CLOUDINARY_URL")), "{}", answer.body);
    world.end().await;
}

#[tokio::test]
async fn a_body_that_is_too_long_or_cannot_be_read_is_refused_although_it_is_signed() {
    let world = World::start().await;
    let before = world.env.census().await;
    let long = format!(r#"{{"notification_type":"delete","resources":[],"more":"{}"}}"#, "x".repeat(1024 * 1024));
    world.refused(before, &send_signed(&world, &long).await, 413, &[]).await;
    for nonsense in ["", "nonsense", "[]", "null", "\"delete\"", "{\"notification_type\":\"delete\""] {
        world.refused(before, &send_signed(&world, nonsense).await, 422, &[]).await;
    }
    for (nonsense, field) in [
        (json!({}), "notification_type"),
        (json!({"notification_type": {"$gt": ""}}), "notification_type"),
        (json!({"notification_type": "delete"}), "resources"),
        (json!({"notification_type": "delete", "resources": ["a"]}), "public_id"),
        (json!({"notification_type": "rename", "from_public_id": "a"}), "to_public_id"),
        (json!({"notification_type": "moderation", "public_id": "a"}), "moderation_status"),
    ] {
        world.refused(before, &send_signed(&world, &nonsense.to_string()).await, 422, &[field]).await;
    }
    // Deep nesting is no reason to fall over.
    let deep = "[".repeat(100_000);
    world.refused(before, &send_signed(&world, &deep).await, 422, &[]).await;
    world.end().await;
}

#[tokio::test]
async fn what_is_not_about_our_assets_is_taken_and_changes_nothing() {
    let world = World::start().await;
    let (member, worker) = (world.member().await, world.env.worker().await);
    let asset = avatar(&world, &member.client).await;
    let before = world.env.census().await;
    let stranger = json!({"public_id": "somebody/else", "asset_id": "0123", "resource_type": "image", "version": 1});
    let of = |fields: Value| with(named(&asset), &fields);
    for told in [
        of(json!({"notification_type": "upload"})),
        of(json!({"notification_type": "eager", "eager": []})),
        of(json!({"notification_type": "a_type_of_tomorrow"})),
        of(json!({"notification_type": "moderation", "moderation_status": "pending"})),
        with(stranger.clone(), &json!({"notification_type": "moderation", "moderation_status": "rejected"})),
        json!({"notification_type": "rename", "from_public_id": "somebody/else", "to_public_id": "b"}),
        json!({"notification_type": "delete", "resources": []}),
        json!({"notification_type": "delete", "resources": [stranger, {"public_id": "steep/avatar/nobody"}]}),
        // Of its name, and of something else that had it.
        json!({"notification_type": "delete", "resources": [of(json!({"asset_id": "0123", "version": 1}))]}),
        json!({"notification_type": "delete", "resources": [of(json!({"asset_id": null, "version": 1}))]}),
        json!({"notification_type": "delete", "resources": [of(json!({"resource_type": "video"}))]}),
        json!({"notification_type": "delete", "resources": [of(json!({"resource_type": "raw"}))]}),
        json!({"notification_type": "delete", "resources": [of(json!({"type": "private"}))]}),
    ] {
        tell(&world, &told).await;
        assert_eq!(find(&world, asset.id).await, asset, "{told}");
    }
    assert_eq!(world.env.census().await, before);
    worker.shutdown(std::future::pending()).await;
    world.end().await;
}
