//! The fleet at a glance.

use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use store::{AdminRole, Controlled, Made};
use testkit::{Client, TestEnv};
use uuid::Uuid;

use crate::support::{World, assert_refused};

const OVERVIEW: &str = "/api/v1/admin/overview";
const UPLOAD: &str = "media.upload.v1";

/// Lets workers that do not run have told what has ended and what waits.
async fn told(world: &World) {
    let rollups = world.env.store().rollups();
    while rollups.make("a test").await.expect("made") != Made::UpToDate {}
    rollups.take_snapshot().await.expect("taken");
}

async fn insert(world: &World, jobs: Vec<Document>) {
    world.env.database().collection::<Document>("jobs").insert_many(jobs).await.expect("inserted");
}

fn of_kind<'a>(overview: &'a Value, kind: &str) -> &'a Value {
    let queues = overview["queues"].as_array().expect("queues");
    queues.iter().find(|queue| queue["kind"] == kind).expect("a queue")
}

async fn overview(client: &Client, window: &str) -> Value {
    client.get(&format!("{OVERVIEW}?window={window}")).await.expect(200).data().clone()
}

#[tokio::test]
async fn it_tells_what_waits_and_what_has_ended_in_an_hour_a_day_and_a_week() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::ReadOnly).await.client;
    let nothing = overview(&admin, "").await;
    assert_eq!((&nothing["countedAt"], &nothing["window"]), (&Value::Null, &json!("hour")));
    assert_eq!(nothing["slots"], json!({"slots": 0, "used": 0}));
    assert_eq!(nothing["alerts"][0]["name"], "SteepWorkerGone");

    let now = DateTime::from(world.env.store().now().await.expect("a time")).timestamp_millis();
    let ended = |state: &str, minutes_ago: i64, took: i64| {
        let at = now - minutes_ago * 60_000;
        doc! {
            "_id": Uuid::now_v7().to_string(), "kind": UPLOAD, "queue": "media.upload.here", "state": state,
            "finishedAt": DateTime::from_millis(at), "createdAt": DateTime::from_millis(at - took),
        }
    };
    let mut jobs: Vec<Document> = (0..30).map(|number| ended("completed", number, 1_000)).collect();
    jobs.extend((0..6).map(|number| ended("discarded", number, 10)));
    jobs.push(ended("cancelled", 300, 10));
    jobs.push(ended("completed", 3 * 24 * 60, 10));
    insert(&world, jobs).await;
    let due = DateTime::from_millis(now - 700_000);
    let waiting = |state: &str| {
        doc! {
            "_id": Uuid::now_v7().to_string(), "kind": UPLOAD, "queue": "media.upload.here", "state": state,
            "dueAt": due, "runAt": due, "leaseUntil": DateTime::from_millis(now + 600_000), "createdAt": due,
        }
    };
    insert(&world, vec![waiting("queued"), waiting("queued"), waiting("running"), waiting("pending")]).await;
    told(&world).await;

    let hour = overview(&admin, "hour").await;
    let upload = of_kind(&hour, UPLOAD);
    assert_eq!(upload["waiting"], json!({"count": 3, "atLeast": false}));
    assert_eq!((&upload["running"]["count"], &upload["retryable"]["count"]), (&json!(1), &json!(0)));
    let age = upload["oldestAgeSeconds"].as_u64().expect("an age");
    assert!((700..760).contains(&age), "{age} s");
    assert_eq!(upload["finished"], json!({"completed": 30, "discarded": 6, "cancelled": 0}));
    let per_minute = upload["perMinute"].as_f64().expect("a number");
    assert!((per_minute - 36.0 / 60.0).abs() < 0.001, "{per_minute}");
    let latency = upload["latency"]["p50Ms"].as_u64().expect("a time");
    assert!((790..=1_270).contains(&latency), "{latency} ms");
    let series = upload["series"].as_array().expect("a series");
    assert_eq!(series.len(), 60);
    assert_eq!(series.iter().map(|point| point["completed"].as_u64().expect("a number")).sum::<u64>(), 30);
    let names: Vec<&str> =
        hour["alerts"].as_array().expect("alerts").iter().filter_map(|alert| alert["name"].as_str()).collect();
    assert_eq!(names, ["SteepWorkerGone", "SteepJobsWait", "SteepJobsWait", "SteepJobsDiscarded"]);
    let day = overview(&admin, "day").await;
    assert_eq!(of_kind(&day, UPLOAD)["finished"], json!({"completed": 30, "discarded": 6, "cancelled": 1}));
    let week = overview(&admin, "week").await;
    assert_eq!(of_kind(&week, UPLOAD)["finished"], json!({"completed": 31, "discarded": 6, "cancelled": 1}));
    for (overview, parts) in [(day, 144), (week, 168)] {
        assert_eq!(of_kind(&overview, UPLOAD)["series"].as_array().map(Vec::len), Some(parts));
    }
    assert_refused(&admin.get(&format!("{OVERVIEW}?window=year")).await, 422, &["window"]);
    world.env.database().collection::<Document>("jobs").delete_many(doc! {}).await.expect("deleted");
    world.end().await;
}

#[tokio::test]
async fn it_tells_of_the_workers_what_they_use_and_what_they_are_told() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::ReadOnly).await.client;
    let often = Duration::from_millis(50);
    let worker = world
        .env
        .worker_with(|config| (config.settings.sign_every, config.settings.roll_up_every) = (often, often))
        .await;
    TestEnv::until("everything is told", async || {
        let overview = overview(&admin, "hour").await;
        let is_counted = overview["countedAt"].is_string() && overview["deadLetters"] == 0;
        is_counted && overview["spools"][0]["freeBytes"].is_number()
    })
    .await;
    let store = world.env.store();
    let queue = Controlled::Queue("media.delete".to_owned());
    store.controls().set(&queue, "media.delete", "a test", "because").await.expect("told");
    let user = world.member().await;
    store.controls().set(&Controlled::User(user.id), &user.name, "a test", "").await.expect("told");
    let told = overview(&admin, "hour").await;
    assert_eq!(told["workers"], json!({"alive": 1, "draining": 0, "vanished": 0}));
    assert!(told["slots"]["slots"].as_u64().is_some_and(|slots| slots > 4), "{}", told["slots"]);
    assert_eq!(told["spools"][0]["spool"], world.env.spool().id().as_str());
    assert_eq!((&told["deadLetters"], &told["channelsDirty"]), (&json!(0), &json!(0)));
    assert_eq!((&told["pausedQueues"], &told["pausedUsers"]), (&json!(["media.delete"]), &json!([user.name])));
    assert_eq!(of_kind(&told, "media.delete.v1")["paused"]["why"], "because");
    assert_eq!(told["alerts"], json!([]));
    worker.shutdown(std::future::pending()).await;
    TestEnv::until("it is gone", async || {
        let told = overview(&admin, "hour").await;
        told["alerts"][0]["name"] == "SteepWorkerGone"
    })
    .await;
    world.end().await;
}
