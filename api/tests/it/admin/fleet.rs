//! Workers as admins see and steer them, and stored counts.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use store::{AdminRole, Controlled, Sign};
use testkit::{Answer, Client, TestEnv};

use super::{assert_guarded, nothing};
use crate::support::{World, assert_refused};

const WORKERS: &str = "/api/v1/admin/workers";

fn sign(name: &str) -> Sign {
    Sign {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        host: "host".to_owned(),
        spool: "here".to_owned(),
        draining: false,
        slots: Vec::new(),
        running: Vec::new(),
        clock_offset_ms: Some(7),
        spool_fill: None,
    }
}

pub async fn put(client: &Client, path: &str, body: &Value) -> Answer {
    client.send(client.request(Method::PUT, path).json(body)).await
}

pub async fn delete(client: &Client, path: &str) -> Answer {
    client.send(client.request(Method::DELETE, path)).await
}

fn names(page: &Value) -> Vec<&str> {
    page["items"].as_array().expect("items").iter().filter_map(|worker| worker["name"].as_str()).collect()
}

#[tokio::test]
async fn workers_are_listed_in_parts_and_shown_by_name() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::ReadOnly).await.client;
    let workers = world.env.store().workers();
    for name in ["one", "two", "three"] {
        workers.sign(&sign(name)).await.expect("signed");
        // Each started at a millisecond of its own.
        let before = world.env.store().now().await.expect("a time");
        TestEnv::until("time passes", async || {
            world.env.store().now().await.expect("a time") > before + Duration::from_millis(1)
        })
        .await;
    }
    workers.leave(&sign("two")).await.expect("signed");
    let first = admin.get(&format!("{WORKERS}?limit=1")).await.expect(200).data().clone();
    assert_eq!(names(&first), ["three"]);
    let cursor = first["nextCursor"].as_str().expect("more");
    let second = admin.get(&format!("{WORKERS}?limit=1&cursor={cursor}")).await.expect(200).data().clone();
    assert_eq!((names(&second), &second["nextCursor"]), (vec!["one"], &Value::Null));
    let all = admin.get(&format!("{WORKERS}?left=true")).await.expect(200).data().clone();
    assert_eq!(names(&all), ["three", "two", "one"]);
    assert_eq!(all["items"][1]["state"], "left");
    // A cursor of the other list.
    assert_refused(&admin.get(&format!("{WORKERS}?left=true&cursor={cursor}")).await, 422, &["cursor"]);
    assert_refused(&admin.get(&format!("{WORKERS}?left=perhaps")).await, 422, &["left"]);

    let one = admin.get(&format!("{WORKERS}/one")).await.expect(200).data().clone();
    assert_eq!((&one["state"], &one["clockOffsetMs"], &one["drain"]), (&json!("alive"), &json!(7), &Value::Null));
    let ago = vec![doc! { "$set": { "lastSign": { "$subtract": ["$$NOW", 21_000] } } }];
    let documents = world.env.database().collection::<Document>("workers");
    documents.update_one(doc! { "_id": "one" }, ago).await.expect("changed");
    assert_eq!(admin.get(&format!("{WORKERS}/one")).await.data()["state"], "vanished");
    assert_refused(&admin.get(&format!("{WORKERS}/nobody")).await, 404, &[]);
    world.end().await;
}

#[tokio::test]
async fn a_worker_is_told_to_drain_once_and_the_audit_has_it() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::Full).await;
    let often = Duration::from_millis(50);
    let worker = world
        .env
        .worker_with(|config| (config.settings.sign_every, config.settings.learn_every) = (often, often))
        .await;
    let one = format!("{WORKERS}/{}", worker.name());
    TestEnv::until("it is known", async || admin.client.get(&one).await.status == 200).await;
    let path = format!("{one}/drain");
    assert_guarded(&world, &admin.client, Method::PUT, &path, &nothing()).await;
    assert_refused(&put(&admin.client, &path, &json!({"why": "x".repeat(501)})).await, 422, &["why"]);
    let drains = put(&admin.client, &path, &json!({"why": " a deploy "})).await.expect(200).data().clone();
    assert_eq!((&drains["changed"], &drains["control"]["why"]), (&json!(true), &json!("a deploy")));
    assert_eq!((&drains["name"], &drains["control"]["by"]), (&json!(worker.name()), &json!(admin.name)));
    let entry = world.last_entry(&admin.client).await;
    assert_eq!((&entry["action"], &entry["count"]), (&json!("worker.drain"), &json!(1)));
    assert_eq!(entry["target"], json!({"kind": "worker", "id": worker.name()}));
    let again = put(&admin.client, &path, &json!({"why": "another"})).await.expect(200).data().clone();
    assert_eq!((&again["changed"], &again["control"]), (&json!(false), &drains["control"]));
    assert_eq!(world.last_entry(&admin.client).await["count"], 0);
    TestEnv::until("it drains", async || admin.client.get(&one).await.data()["state"] == "draining").await;
    assert_eq!(admin.client.get(&one).await.data()["drain"], drains["control"]);

    for changed in [true, false] {
        let undrained = delete(&admin.client, &path).await.expect(200).data().clone();
        assert_eq!((&undrained["changed"], &undrained["control"]), (&json!(changed), &Value::Null));
    }
    TestEnv::until("it takes jobs again", async || admin.client.get(&one).await.data()["state"] == "alive").await;
    worker.shutdown(std::future::pending()).await;
    assert_refused(&put(&admin.client, &path, &nothing()).await, 404, &[]);
    assert_refused(&put(&admin.client, &format!("{WORKERS}/nobody/drain"), &nothing()).await, 404, &[]);
    let what = Controlled::Worker("nobody".to_owned());
    assert_eq!(world.env.store().controls().find(&what).await.expect("an answer"), None);
    world.end().await;
}

#[tokio::test]
async fn stored_counts_tell_what_is_in_none_of_them_and_what_was_wrong() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::ReadOnly).await.client;
    let nothing = admin.get("/api/v1/admin/counters").await.expect(200).data().clone();
    assert_eq!((&nothing["dirty"], &nothing["reconciledAt"]), (&Value::Null, &Value::Null));
    let (reader, channel) = (world.member().await, world.member().await);
    put(&reader.client, &format!("/api/v1/subscriptions/c/{}", channel.id), &json!({})).await.expect(200);
    let counters = world.env.store().counters();
    counters.note_reconciled(100, 0, None).await.expect("noted");
    counters.note_reconciled(50, 0, None).await.expect("noted");
    world.env.store().rollups().take_snapshot().await.expect("taken");
    let told = admin.get("/api/v1/admin/counters").await.expect(200).data().clone();
    assert!(told["dirty"].as_u64().is_some_and(|dirty| dirty > 0), "{told}");
    assert!(told["lagSeconds"].is_u64() && told["reconciledAt"].is_string(), "{told}");
    assert_eq!((&told["checked"], &told["checkedEver"], &told["lastDrift"]), (&json!(50), &json!(150), &Value::Null));
    world.work_off_and_end().await;
}
