//! What the programs of the first release left behind is finished by today's.
//!
//! `recorded.json` is what they left when every one of them was killed: all documents with their indexes, the queues with
//! their messages, and the files in the spool. Some uploads had never been attempted, some were in the hands of a worker
//! that died, one was superseded, one was discarded and may be redriven, a deletion was under way, and two changes of
//! subscriptions were not counted.

use std::time::{SystemTime, UNIX_EPOCH};

use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{PATIENCE, TestEnv};

use crate::support::{api, worker};

const RECORDED: &str = include_str!("recorded.json");

/// Moves all that was recorded into an environment, as if it had been left there a moment ago.
async fn move_in(env: &TestEnv) {
    let text = RECORDED.replace("first-release-spool", env.spool().id().as_str());
    let mut recorded: Value = serde_json::from_str(&text).expect("a recording");
    let recorded_at = recorded["recordedAt"].as_i64().expect("milliseconds");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    shift(&mut recorded["collections"], i64::try_from(now).expect("a year before 9999") - recorded_at);

    env.database().drop().await.expect("an empty database");
    for (collection, indexes) in recorded["indexes"].as_object().expect("indexes by collection") {
        let collection_handle = env.database().collection::<Document>(collection);
        let documents: Vec<Document> = read(&recorded["collections"][collection]);
        if !documents.is_empty() {
            collection_handle.insert_many(documents).await.expect("documents of the first release");
        }
        let mut indexes: Vec<Document> = read(indexes);
        indexes.retain(|index| index.get_str("name").ok() != Some("_id_"));
        if !indexes.is_empty() {
            let command = doc! { "createIndexes": collection, "indexes": indexes };
            env.database().run_command(command).await.expect("indexes of the first release");
        }
    }
    for (name, bytes) in recorded["files"].as_object().expect("files by name") {
        let bytes = hex::decode(bytes.as_str().expect("text")).expect("hexadecimal");
        std::fs::write(env.folder().join("spool").join(name), bytes).expect("a file in the spool");
    }
    let name = env.name();
    env.host().send(Method::POST, &format!("/api/definitions/{name}"), Some(recorded["definitions"].clone())).await;
    for message in recorded["messages"].as_array().expect("messages") {
        let publish = json!({
            "properties": message["properties"],
            "routing_key": message["queue"],
            "payload": message["body"].to_string(),
            "payload_encoding": "string",
        });
        let path = format!("/api/exchanges/{name}/amq.default/publish");
        let published = env.host().send(Method::POST, &path, Some(publish)).await;
        assert_eq!(published["routed"], true, "{message}");
    }
}

/// Moves every date by some milliseconds: leases end and documents expire as long after now as they did after the recording.
fn shift(value: &mut Value, by: i64) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| shift(value, by)),
        Value::Object(fields) => {
            if let Some(date) = fields.get_mut("$date").and_then(|date| date.get_mut("$numberLong")) {
                let shifted = date.as_str().and_then(|date| date.parse::<i64>().ok()).expect("milliseconds") + by;
                *date = json!(shifted.to_string());
                return;
            }
            fields.values_mut().for_each(|value| shift(value, by));
        }
        _ => {}
    }
}

/// Reads extended JSON.
fn read(value: &Value) -> Vec<Document> {
    serde_json::from_value(value.clone()).expect("documents in extended JSON")
}

/// How many documents of a collection fit.
async fn count(env: &TestEnv, collection: &str, filter: Document) -> u64 {
    let documents = env.database().collection::<Document>(collection);
    documents.count_documents(filter).await.expect("the database answers")
}

#[tokio::test]
async fn what_the_first_release_left_behind_is_finished() {
    let env = TestEnv::start().await;
    move_in(&env).await;
    let discarded = env.database().collection::<Document>("jobs").find_one(doc! { "state": "discarded" }).await;
    let discarded = discarded.expect("the database answers").expect("a discarded job");
    let (mut api_process, client) = api(&env, "api").await;
    let mut worker_process = worker(&env, "worker").await;

    let unfinished = || doc! { "state": { "$nin": ["completed", "cancelled", "discarded"] } };
    TestEnv::until("every job has ended", async || count(&env, "jobs", unfinished()).await == 0).await;
    TestEnv::until("every change is counted", async || count(&env, "subscription_intents", doc! {}).await == 0).await;
    // Of the uploads one was superseded and one discarded before; what a redrive and the replaced avatar bring are deletions.
    assert_eq!(count(&env, "jobs", doc! { "state": "cancelled" }).await, 1);
    assert_eq!(count(&env, "jobs", doc! { "state": "discarded" }).await, 1);
    assert_eq!(count(&env, "assets", doc! { "state": "pending" }).await, 0);

    // The queues of then, whose arguments were others, are gone with what was left in them.
    TestEnv::until("no queue of the first release is left", async || {
        let is_of_jobs = |name: &str| ["media.", "channel."].iter().any(|family| name.starts_with(family));
        env.host().queues().await.iter().all(|name| !is_of_jobs(name) || name.ends_with(":2"))
    })
    .await;

    // Everybody signs in with the password of then, and is shown the newest picture.
    for (name, images) in [("ada", ["avatar", "coverImage"]), ("linus", ["avatar", "coverImage"])] {
        let user = client.login(name).await;
        let shown = user.current_user().await;
        for image in images {
            let url = shown[image].as_str().unwrap_or_default();
            assert!(url.contains("/steep/"), "{name}'s {image} is {url}");
        }
        let image = |role: &str| doc! { "username": name, format!("steep.{role}.pending"): { "$exists": true } };
        assert_eq!(count(&env, "users", image("avatar")).await + count(&env, "users", image("coverImage")).await, 0);
    }

    // Stored counts equal a recount.
    let subscriptions = env.database().collection::<Document>("subscriptions");
    for name in ["ada", "grace", "linus"] {
        let users = env.database().collection::<Document>("users");
        let user = users.find_one(doc! { "username": name }).await.expect("an answer").expect("a user");
        let id = user.get_object_id("_id").expect("an id");
        let counted = subscriptions.count_documents(doc! { "channel": id }).await.expect("an answer");
        let stored = user.get_document("steep").and_then(|steep| steep.get_document("aggregates")).expect("counts");
        assert_eq!(stored.get_i64("subscribersCount").ok(), i64::try_from(counted).ok(), "{name}: {stored}");
    }

    // The discarded upload kept its file, and a person may redrive it.
    let id = discarded.get_str("_id").expect("an id").parse().expect("a job's id");
    env.store().media().redrive(id).await.expect("a redrive");
    TestEnv::until("the redriven upload has ended", async || {
        count(&env, "jobs", doc! { "_id": discarded.get_str("_id").unwrap_or_default(), "state": "completed" }).await
            == 1
    })
    .await;

    assert!(worker_process.stop(PATIENCE) && api_process.stop(PATIENCE), "they end by themselves");
    env.finish().await;
}
