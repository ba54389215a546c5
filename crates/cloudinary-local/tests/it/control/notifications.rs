//! Who is told what, and how often.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use cloudinary_local::NotificationCount;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use tokio::net::TcpListener;

use crate::support::{Media, json as parse, png, start_with};

/// What was sent somewhere, in order.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<(HeaderMap, Bytes)>>>);

impl Received {
    /// A receiver that refuses the first of what it gets.
    async fn start(refused: usize) -> (String, Self) {
        let received = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook?a=1&tags=b", listener.local_addr().expect("an address"));
        let all = received.clone();
        let take = move |headers: HeaderMap, body: Bytes| async move {
            let mut all = all.0.lock().expect("no panic");
            all.push((headers, body));
            if all.len() > refused { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
        };
        tokio::spawn(axum::serve(listener, Router::new().route("/hook", post(take))).into_future());
        (url, received)
    }

    fn len(&self) -> usize {
        self.0.lock().expect("no panic").len()
    }

    /// The notification of that number, once it is there.
    async fn nth(&self, index: usize) -> Value {
        until("a notification", || self.len() > index).await;
        let all = self.0.lock().expect("no panic");
        let (headers, body) = &all[index];
        let header = |name: &str| headers[name].to_str().expect("text").to_owned();
        let expected = Sha1::digest([body.as_ref(), header("x-cld-timestamp").as_bytes(), b"abcd".as_slice()].concat());
        assert_eq!(header("x-cld-signature"), hex::encode(expected));
        assert_eq!(header("content-type"), "application/json");
        serde_json::from_slice(body).expect("JSON")
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server that tells somebody of everything.
async fn telling(url: &str) -> Media {
    let url = url.parse().expect("an address");
    start_with(|config| (config.notification_urls, config.notification_retry) = (vec![Some(url)], Duration::ZERO)).await
}

fn count(delivered: u64, lost: u64) -> NotificationCount {
    NotificationCount { delivered, lost, waiting: 0 }
}

#[tokio::test]
async fn every_change_of_an_asset_is_told_as_cloudinary_tells_it() {
    let (url, received) = Received::start(0).await;
    let media = telling(&url).await;
    let stored = media.store("image", &[("public_id", "a/b")], &png(1, 1)).await;
    let told = received.nth(0).await;
    for field in ["public_id", "asset_id", "version", "etag", "secure_url", "resource_type", "type"] {
        assert_eq!(told[field], stored[field], "{field}");
    }
    assert_eq!((&told["notification_type"], &told["signature_key"]), (&json!("upload"), &json!("1234")));
    assert!(told["notification_context"]["triggered_at"].as_str().is_some_and(|time| time.ends_with('Z')), "{told}");

    media.call("image/rename", &[("from_public_id", "a/b"), ("to_public_id", "c")]).await;
    let told = received.nth(1).await;
    let names = [&told["notification_type"], &told["from_public_id"], &told["to_public_id"], &told["asset_id"]];
    assert_eq!(names, [&json!("rename"), &json!("a/b"), &json!("c"), &stored["asset_id"]]);

    let decide = async |status: &str| {
        let request =
            media.client.post(media.url("/v1_1/demo/resources/image/upload/c")).basic_auth("1234", Some("abcd"));
        parse(request.form(&[("moderation_status", status)]).send().await.expect("an answer")).await
    };
    let (status, asset) = decide("rejected").await;
    assert_eq!((status, &asset["moderation"]), (200, &json!([{"kind": "manual", "status": "rejected"}])));
    let told = received.nth(2).await;
    let decided = [&told["notification_type"], &told["moderation_status"], &told["public_id"]];
    assert_eq!(decided, [&json!("moderation"), &json!("rejected"), &json!("c")]);
    assert_eq!(decide("perhaps").await.0, 400);

    media.store("image", &[("public_id", "d")], &png(2, 2)).await;
    assert_eq!(received.nth(3).await["public_id"], "d");
    let all = media.client.delete(media.url("/v1_1/demo/resources/image/upload?all=true"));
    assert_eq!(all.basic_auth("1234", Some("abcd")).send().await.expect("an answer").status(), 200);
    let told = received.nth(4).await;
    assert_eq!(told["notification_type"], "delete");
    let resources = told["resources"].as_array().expect("a list");
    let names: Vec<&Value> = resources.iter().map(|resource| &resource["public_id"]).collect();
    assert_eq!(names, [&json!("c"), &json!("d")]);
    assert_eq!((&resources[0]["asset_id"], &resources[0]["version"]), (&stored["asset_id"], &stored["version"]));
    until("all have arrived", || media.handle().notifications() == count(5, 0)).await;
}

#[tokio::test]
async fn what_changes_nothing_is_not_told() {
    let (url, received) = Received::start(0).await;
    let media = telling(&url).await;
    media.store("image", &[("public_id", "a")], &png(1, 1)).await;
    media.store("image", &[("public_id", "a"), ("overwrite", "false")], &png(1, 1)).await;
    media.call("image/destroy", &[("public_id", "none")]).await;
    media.call("image/rename", &[("from_public_id", "none"), ("to_public_id", "a")]).await;
    received.nth(0).await;
    media.call("image/destroy", &[("public_id", "a")]).await;
    assert_eq!(received.nth(1).await["notification_type"], "delete");
    until("nothing waits", || media.handle().notifications() == count(2, 0)).await;
}

#[tokio::test]
async fn one_that_nobody_takes_is_sent_four_times_and_holds_up_nobody() {
    let (url, received) = Received::start(3).await;
    let media = telling(&url).await;
    media.store("raw", &[("public_id", "a")], b"x").await;
    for index in 0..4 {
        assert_eq!(received.nth(index).await["public_id"], "a");
    }
    until("it is taken at last", || media.handle().notifications() == count(1, 0)).await;

    let (url, refusing) = Received::start(usize::MAX).await;
    media.handle().notify(vec![url.parse().expect("an address")]);
    media.store("raw", &[("public_id", "b")], b"x").await;
    until("it is lost", || media.handle().notifications() == count(1, 1)).await;
    assert_eq!((refusing.len(), received.len()), (4, 4));
    media.running.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_call_is_told_of_at_its_own_address_too_but_twice_nowhere() {
    let (always, all) = Received::start(0).await;
    let (own, one) = Received::start(0).await;
    let url = always.parse().expect("an address");
    let media = start_with(|config| (config.notification_urls, config.fetch_private) = (vec![Some(url)], true)).await;
    media.store("raw", &[("public_id", "a"), ("notification_url", &own)], b"x").await;
    media.store("raw", &[("public_id", "b"), ("notification_url", &always)], b"x").await;
    until("all have arrived", || media.handle().notifications() == count(3, 0)).await;
    assert_eq!((all.len(), one.len()), (2, 1));
    assert_eq!(one.nth(0).await["public_id"], "a");
}

#[tokio::test]
async fn a_page_cannot_have_it_send_to_this_machine() {
    let (always, all) = Received::start(0).await;
    let (own, none) = Received::start(0).await;
    let media = telling(&always).await;
    media.store("raw", &[("public_id", "a"), ("notification_url", &own)], b"x").await;
    // By a name that leads here.
    let named = own.replace("127.0.0.1", "localhost");
    media.store("raw", &[("public_id", "b"), ("notification_url", &named)], b"x").await;
    for nonsense in ["file:///etc/passwd", "nonsense", "http://"] {
        media.store("raw", &[("public_id", "c"), ("notification_url", nonsense)], b"x").await;
    }
    until("what may arrive has arrived", || media.handle().notifications() == count(5, 1)).await;
    assert_eq!((all.len(), none.len()), (5, 0));
}

#[tokio::test]
async fn the_control_surface_says_who_is_told() {
    let (url, received) = Received::start(0).await;
    let media = start_with(|config| config.admin = true).await;
    let put = async |body: Value| {
        let request = media.client.put(media.url("/__admin/notifications")).json(&body);
        request.send().await.expect("an answer").status().as_u16()
    };
    for refused in [json!({}), json!({"urls": "x"}), json!({"urls": ["ftp://h/"]}), json!({"urls": ["nonsense"]})] {
        assert_eq!(put(refused.clone()).await, 400, "{refused}");
    }
    assert_eq!(put(json!({"urls": [url]})).await, 204);
    media.store("raw", &[("public_id", "a")], b"x").await;
    assert_eq!(received.nth(0).await["public_id"], "a");
    until("it was taken", || media.handle().notifications() == count(1, 0)).await;
    let (_, said) = parse(media.get("/__admin/notifications").await).await;
    assert_eq!(said, json!({"urls": [url], "count": {"delivered": 1, "lost": 0, "waiting": 0}}));
    assert_eq!(put(json!({"urls": []})).await, 204);
    media.store("raw", &[("public_id", "b")], b"x").await;
    assert_eq!((received.len(), media.handle().notifications()), (1, count(1, 0)));
}
