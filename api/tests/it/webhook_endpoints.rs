//! Endpoints of webhooks: registering, changing and removing them. What is sent to them is a journey's.

use std::collections::BTreeSet;

use mongodb::bson::{Document, doc, oid::ObjectId};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::Answer;

use crate::support::{Member, World, assert_accepted, assert_refused};

const ENDPOINTS: &str = "/api/v1/webhook-endpoints";
/// On the internet by its spelling, so that no name server is needed.
const URL: &str = "https://93.184.216.34/hooks?shop=1";

/// As it is in production.
async fn strict() -> World {
    World::with(&["--webhook-allow-private=false"]).await
}

async fn send(member: &Member, method: Method, path: &str, body: &Value) -> Answer {
    member.client.send(member.client.request(method, path).json(body)).await
}

async fn register(member: &Member, body: &Value) -> Answer {
    send(member, Method::POST, ENDPOINTS, body).await
}

/// The path of an endpoint.
fn place(registered: &Answer) -> String {
    format!("{ENDPOINTS}/{}", registered.data()["id"].as_str().expect("an id"))
}

async fn stored(world: &World) -> Vec<Document> {
    let endpoints = world.env.database().collection::<Document>("webhook_endpoints");
    let mut found = endpoints.find(doc! {}).await.expect("an answer");
    let mut all = Vec::new();
    while found.advance().await.expect("an answer") {
        all.push(found.deserialize_current().expect("a document"));
    }
    all
}

#[tokio::test]
async fn an_endpoint_is_registered_and_its_secret_is_told_once() {
    let world = strict().await;
    let ada = world.member().await;
    let new = json!({"url": URL, "events": ["media.ready.v1", "media.failed.v1"], "description": " the shop "});
    let made = register(&ada, &new).await;
    assert_accepted(&made, 201);
    let secret = made.data()["secret"].as_str().expect("a secret");
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{} characters", secret.len());
    assert!(made.header("location").ends_with(&place(&made)));

    let shown = ada.client.get(&place(&made)).await;
    assert_accepted(&shown, 200);
    let mut expected = made.data().clone();
    expected.as_object_mut().expect("an object").remove("secret");
    assert_eq!(shown.data(), &expected);
    let (url, events) = (&shown.data()["url"], &shown.data()["events"]);
    assert_eq!((url, events), (&json!(URL), &json!(["media.failed.v1", "media.ready.v1"])));
    assert_eq!((&shown.data()["description"], &shown.data()["enabled"]), (&json!("the shop"), &json!(true)));
    for field in ["disabled", "failingSince", "lastSuccessAt"] {
        assert_eq!(shown.data()[field], Value::Null, "{field}");
    }
    let all = ada.client.get(ENDPOINTS).await;
    assert_accepted(&all, 200);
    assert_eq!(all.data(), &json!([expected]));

    let other = register(&ada, &json!({"url": URL})).await;
    assert_eq!(other.data()["events"], json!(["*"]));
    assert_ne!(other.data()["secret"].as_str(), Some(secret));
    world.end().await;
}

#[tokio::test]
async fn an_address_that_is_not_on_the_internet_is_refused_by_name_and_nothing_is_stored() {
    let world = strict().await;
    let ada = world.member().await;
    let long = format!("https://93.184.216.34/{}", "a".repeat(2048));
    for url in [
        "",
        " ",
        "example.com/hooks",
        "https://",
        "not an address",
        "http://93.184.216.34/",
        "ftp://93.184.216.34/",
        "file:///etc/passwd",
        "https://ada@93.184.216.34/",
        "https://ada:secret@93.184.216.34/",
        "https://93.184.216.34/#part",
        "https://localhost/",
        "https://localhost.:8443/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://0.0.0.0/",
        "https://10.0.0.1/",
        "https://172.16.0.1/",
        "https://192.168.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/",
        "https://192.0.2.1/",
        "https://198.18.0.1/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::]/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:a00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[ff02::1]/",
        "https://[2001:db8::1]/",
        "https://[2002:7f00:1::1]/",
        // Never known to any name server.
        "https://no-such-host.invalid/",
        &long,
    ] {
        assert_refused(&register(&ada, &json!({"url": url})).await, 422, &["url"]);
    }
    assert_refused(&register(&ada, &json!({})).await, 422, &["url"]);
    assert!(stored(&world).await.is_empty());

    let made = register(&ada, &json!({"url": URL})).await;
    for url in ["https://127.0.0.1/", "http://93.184.216.34/"] {
        assert_refused(&send(&ada, Method::PATCH, &place(&made), &json!({"url": url})).await, 422, &["url"]);
    }
    assert_eq!(ada.client.get(&place(&made)).await.data()["url"], URL);
    world.end().await;
}

#[tokio::test]
async fn whatever_else_is_wrong_is_refused_by_name() {
    let world = strict().await;
    let ada = world.member().await;
    for (field, value) in [
        ("events", json!([])),
        ("events", json!(["media.ready"])),
        ("events", json!(["media.*"])),
        ("events", json!(vec!["*"; 21])),
        ("description", json!("x".repeat(501))),
        ("description", json!("two\nlines")),
    ] {
        let mut new = json!({"url": URL});
        new[field] = value;
        assert_refused(&register(&ada, &new).await, 422, &[field]);
    }
    assert_refused(&register(&ada, &json!({"url": 7})).await, 422, &["url"]);
    assert_refused(&world.api.post(ENDPOINTS, &json!({"url": URL})).await, 401, &[]);
    assert!(stored(&world).await.is_empty());

    let made = register(&ada, &json!({"url": URL})).await;
    assert_refused(&send(&ada, Method::PATCH, &place(&made), &json!({})).await, 422, &[]);
    let replay = format!("{}/replay", place(&made));
    for (range, field) in [
        (json!({}), "since"),
        (json!({"since": "yesterday"}), "since"),
        (json!({"since": "2026-01-02T03:04:05Z", "until": "2026-13-02T03:04:05Z"}), "until"),
        (json!({"since": "2026-01-02T03:04:05Z", "until": "2026-01-02T03:04:04Z"}), "until"),
    ] {
        assert_refused(&send(&ada, Method::POST, &replay, &range).await, 422, &[field]);
    }
    let of_another = "cursor=65a1b2c3d4e5f60718293a4b-019389a0-0000-7000-8000-00000000000a";
    for (query, field) in [("limit=0", "limit"), ("cursor=65a1b2c3d4e5f60718293a4b", "cursor"), (of_another, "cursor")]
    {
        assert_refused(&ada.client.get(&format!("{}/deliveries?{query}", place(&made))).await, 422, &[field]);
    }
    let one = format!("{}/deliveries/7/replay", place(&made));
    assert_refused(&send(&ada, Method::POST, &one, &json!({})).await, 422, &["delivery"]);
    world.end().await;
}

#[tokio::test]
async fn a_user_has_so_many_endpoints_and_no_more_however_many_come_at_once() {
    let world = strict().await;
    let (ada, bob) = (world.member().await, world.member().await);
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..14 {
        let client = ada.client.clone();
        racers.spawn(async move { client.post(ENDPOINTS, &json!({"url": URL})).await });
    }
    let answers = racers.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 10);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_refused(refused, 422, &[]);
    }
    assert_accepted(&register(&bob, &json!({"url": URL})).await, 201);
    let all = ada.client.get(ENDPOINTS).await;
    let ids: BTreeSet<&str> =
        all.data().as_array().expect("a list").iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!(ids.len(), 10);

    let first = format!("{ENDPOINTS}/{}", ids.first().expect("one"));
    assert_accepted(&send(&ada, Method::DELETE, &first, &json!({})).await, 200);
    assert_accepted(&register(&ada, &json!({"url": URL})).await, 201);
    assert_refused(&register(&ada, &json!({"url": URL})).await, 422, &[]);
    world.end().await;
}

#[tokio::test]
async fn what_is_sent_of_an_endpoint_changes_and_the_rest_stays() {
    let world = strict().await;
    let ada = world.member().await;
    let made = register(&ada, &json!({"url": URL, "description": "a"})).await;
    let place = place(&made);
    let before = ada.client.get(&place).await.data().clone();
    for change in [
        json!({"url": "https://1.1.1.1/"}),
        json!({"events": ["media.deleted.v1"]}),
        json!({"description": ""}),
        json!({"enabled": false}),
        json!({"enabled": true}),
    ] {
        let mut expected = ada.client.get(&place).await.data().clone();
        for (field, value) in change.as_object().expect("fields") {
            expected[field] = value.clone();
        }
        let changed = send(&ada, Method::PATCH, &place, &change).await;
        assert_accepted(&changed, 200);
        expected["updatedAt"] = changed.data()["updatedAt"].clone();
        assert_eq!(changed.data(), &expected, "{change}");
        assert_eq!(ada.client.get(&place).await.data(), &expected, "{change}");
    }
    assert_eq!(ada.client.get(&place).await.data()["createdAt"], before["createdAt"]);
    world.end().await;
}

#[tokio::test]
async fn one_that_we_have_disabled_says_why_and_is_enabled_by_its_owner() {
    let world = strict().await;
    let ada = world.member().await;
    let made = register(&ada, &json!({"url": URL})).await;
    let endpoints = world.env.database().collection::<Document>("webhook_endpoints");
    let now = mongodb::bson::DateTime::now();
    let disabled = doc! { "at": now, "code": "failing", "reason": "nothing arrived" };
    let set = doc! { "$set": { "enabled": false, "disabled": disabled, "failingSince": now } };
    endpoints.update_one(doc! {}, set).await.expect("an answer");
    let shown = ada.client.get(&place(&made)).await;
    assert_eq!((&shown.data()["enabled"], &shown.data()["disabled"]["code"]), (&json!(false), &json!("failing")));
    let replay = format!("{}/replay", place(&made));
    let refused = send(&ada, Method::POST, &replay, &json!({"since": "2026-01-02T03:04:05Z"})).await;
    assert_refused(&refused, 422, &["enabled"]);
    let enabled = send(&ada, Method::PATCH, &place(&made), &json!({"enabled": true})).await;
    assert_accepted(&enabled, 200);
    let seen = ["enabled", "disabled", "failingSince"].map(|field| enabled.data()[field].clone());
    assert_eq!(seen, [json!(true), Value::Null, Value::Null]);
    world.end().await;
}

#[tokio::test]
async fn rotating_tells_a_new_secret_once_and_keeps_the_one_before_for_a_day() {
    let world = strict().await;
    let ada = world.member().await;
    let made = register(&ada, &json!({"url": URL})).await;
    let rotated = send(&ada, Method::POST, &format!("{}/rotate", place(&made)), &json!({})).await;
    assert_accepted(&rotated, 200);
    let secrets = [&made, &rotated].map(|answer| answer.data()["secret"].as_str().expect("a secret").to_owned());
    assert_ne!(secrets[0], secrets[1]);
    let stored = stored(&world).await;
    let [endpoint] = &stored[..] else { panic!("one endpoint") };
    assert_eq!(endpoint.get_str("secret").expect("a secret"), secrets[1]);
    let previous = endpoint.get_document("previous").expect("the one before");
    assert_eq!(previous.get_str("secret").expect("a secret"), secrets[0]);
    let (until, at) = (previous.get_datetime("until"), endpoint.get_datetime("updatedAt"));
    let kept = until.expect("a time").saturating_duration_since(*at.expect("a time"));
    assert_eq!(kept.as_secs(), 24 * 60 * 60);
    let shown = ada.client.get(&place(&made)).await;
    assert!(!shown.body.to_string().contains("whsec_"), "{}", shown.body);
    world.end().await;
}

#[tokio::test]
async fn anothers_endpoint_is_as_unknown_as_one_that_does_not_exist() {
    let world = strict().await;
    let (ada, eve) = (world.member().await, world.member().await);
    let made = register(&ada, &json!({"url": URL})).await;
    let nobodys = format!("{ENDPOINTS}/{}", ObjectId::new());
    let range = json!({"since": "2026-01-02T03:04:05Z"});
    for place in [place(&made), nobodys] {
        for (method, rest, body) in [
            (Method::GET, "", json!({})),
            (Method::PATCH, "", json!({"enabled": false})),
            (Method::DELETE, "", json!({})),
            (Method::POST, "/rotate", json!({})),
            (Method::GET, "/deliveries", json!({})),
            (Method::POST, "/replay", range.clone()),
            (Method::POST, "/deliveries/019389a0-0000-7000-8000-00000000000a/replay", json!({})),
        ] {
            let answer = send(&eve, method, &format!("{place}{rest}"), &body).await;
            assert_refused(&answer, 404, &[]);
            assert_eq!(answer.body["message"], "you have no such endpoint");
        }
    }
    assert_eq!(eve.client.get(ENDPOINTS).await.data(), &json!([]));
    let kept = ada.client.get(&place(&made)).await;
    assert_eq!((&kept.data()["enabled"], stored(&world).await.len()), (&json!(true), 1));
    world.end().await;
}

#[tokio::test]
async fn a_removed_endpoint_is_gone_with_its_log() {
    let world = strict().await;
    let ada = world.member().await;
    let made = register(&ada, &json!({"url": URL})).await;
    let id = made.data()["id"].as_str().expect("an id");
    let delivery = doc! { "_id": format!("{id}:a"), "endpoint": ObjectId::parse_str(id).expect("an id") };
    let deliveries = world.env.database().collection::<Document>("webhook_deliveries");
    deliveries.insert_one(delivery).await.expect("inserted");
    assert_accepted(&send(&ada, Method::DELETE, &place(&made), &json!({})).await, 200);
    assert_refused(&send(&ada, Method::DELETE, &place(&made), &json!({})).await, 404, &[]);
    assert_refused(&ada.client.get(&place(&made)).await, 404, &[]);
    assert_eq!((stored(&world).await.len(), deliveries.count_documents(doc! {}).await.expect("a count")), (0, 0));
    world.end().await;
}
