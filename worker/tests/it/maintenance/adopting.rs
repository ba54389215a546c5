//! Databases that chai-backend has filled, and the program's commands.

use std::process::{Command, Output, Stdio};

use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use futures_util::TryStreamExt;
use testkit::adopted::{self, Filled};

use crate::support::{Env, until};

fn command(env: &Env, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.env_clear().envs(env.worker_settings()).env("RUST_LOG", "info").args(args).stdin(Stdio::null());
    command
}

async fn output(env: &Env, args: &[&str]) -> (Option<i32>, String) {
    let mut command = command(env, args);
    let output: Output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text")).concat();
    (output.status.code(), text)
}

async fn count(env: &Env, collection: &str, filter: Document) -> u64 {
    env.database().collection::<Document>(collection).count_documents(filter).await.expect("an answer")
}

async fn is_adopted(env: &Env) -> bool {
    count(env, "adoption", doc! { "finishedAt": { "$exists": true } }).await == 1
}

/// An empty world as chai-backend would have left it: without indexes, and with what it wrote.
async fn filled(env: &Env) -> Filled {
    let subscriptions = env.database().collection::<Document>("subscriptions");
    subscriptions.drop_indexes().await.expect("dropped");
    adopted::fill(env.database(), 1_100, 6_000).await.expect("filled")
}

async fn assert_indexes(env: &Env, wanted: &[&str]) {
    let indexes = env.database().collection::<Document>("subscriptions").list_index_names().await.expect("names");
    assert!(wanted.iter().all(|wanted| indexes.iter().any(|index| index == wanted)), "{indexes:?}");
}

async fn assert_everybody_is_counted(env: &Env) {
    let users = env.database().collection::<Document>("users").find(doc! {}).await.expect("an answer");
    let users: Vec<Document> = users.try_collect().await.expect("users");
    let mut subscribers = std::collections::HashMap::<ObjectId, (i64, i64)>::new();
    let pairs = env.database().collection::<Document>("subscriptions").find(doc! {}).await.expect("an answer");
    let pairs: Vec<Document> = pairs.try_collect().await.expect("subscriptions");
    for pair in &pairs {
        subscribers.entry(pair.get_object_id("channel").expect("an id")).or_default().0 += 1;
        subscribers.entry(pair.get_object_id("subscriber").expect("an id")).or_default().1 += 1;
    }
    for user in users {
        let stored = user.get_document("steep").and_then(|steep| steep.get_document("aggregates")).expect("aggregates");
        let stored =
            ["subscribersCount", "channelsSubscribedToCount"].map(|field| stored.get_i64(field).expect("a number"));
        let counted = subscribers.get(&user.get_object_id("_id").expect("an id")).copied().unwrap_or_default();
        assert_eq!((stored[0], stored[1]), counted, "{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_chai_backend_has_filled_in_is_taken_over_even_if_that_is_broken_off() {
    let env = Env::start().await;
    let filled = filled(&env).await;
    assert_eq!(count(&env, "subscriptions", doc! {}).await, (filled.pairs + filled.duplicates) as u64);
    // Not in the first thousand, whom one step counts: while somebody has it locked, the next step waits.
    let mut locked = env.database().client().start_session().await.expect("a session");
    locked.start_transaction().await.expect("a transaction");
    let last = doc! { "username": "user1099" };
    let users = env.database().collection::<Document>("users");
    let lock = users.update_one(last, doc! { "$set": { "locked": true } }).session(&mut locked).await;
    assert_eq!(lock.expect("locked").matched_count, 1);
    let counted = doc! { "_id": { "$ne": ObjectId::from_bytes(env.owner.bytes()) }, "steep.aggregates.computedAt": { "$exists": true } };
    let first = env.worker().await;
    until("some are counted", async || count(&env, "users", counted.clone()).await > 0).await;
    assert_indexes(
        &env,
        &["channel_1_createdAt_-1__id_-1", "subscriber_1_createdAt_-1__id_-1", "subscriber_1_channel_1"],
    )
    .await;
    let name = first.name().to_owned();
    drop(first);
    let left = doc! { "_id": "state", "by": &name, "until": { "$exists": true }, "finishedAt": { "$exists": false } };
    assert_eq!(count(&env, "adoption", left.clone()).await, 1, "broken off in the middle");
    assert!(count(&env, "users", counted).await < filled.users as u64);
    locked.abort_transaction().await.expect("let go");

    // Its successor takes over once the claim has run out.
    let over = doc! { "$set": { "until": DateTime::from_millis(0) } };
    let adoption = env.database().collection::<Document>("adoption");
    assert_eq!(adoption.update_one(left, over).await.expect("an answer").matched_count, 1);
    let worker = env.worker().await;
    until("everything is taken over", async || is_adopted(&env).await).await;

    assert_eq!(count(&env, "subscriptions", doc! {}).await, filled.pairs as u64);
    assert_eq!(count(&env, "subscriptions_set_aside", doc! {}).await, filled.duplicates as u64);
    let capitals = doc! { "email": { "$regex": "[A-Z]" } };
    assert_eq!(count(&env, "users", capitals).await, filled.taken as u64);
    let lowered = doc! { "email": "user101@example.com", "steep.adopted.email": "User101@Example.com" };
    assert_eq!(count(&env, "users", lowered).await, 1);
    assert_everybody_is_counted(&env).await;
    worker.shutdown(std::future::pending()).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_takes_over_once_more_and_lists_what_could_not_be() {
    let env = Env::start().await;
    let filled = filled(&env).await;
    let mut lists = Vec::new();
    for is_first in [true, false] {
        let (code, text) = output(&env, &["adopt"]).await;
        assert_eq!(code, Some(0), "{text}");
        assert_eq!(text.contains("counting adopted users"), is_first, "the log tells the progress: {text}");
        let kinds = ["duplicate subscription: ", "dangling subscriptions: ", "name taken: "];
        let lines = |kind| text.lines().filter(|line: &&str| line.starts_with(kind)).count();
        assert_eq!(kinds.map(lines), [filled.duplicates, filled.dangling, filled.taken], "{text}");
        let list = text.lines().filter(|line| kinds.iter().any(|kind| line.starts_with(kind)));
        lists.push(list.map(str::to_owned).collect::<Vec<_>>());
    }
    assert_eq!(lists[0], lists[1], "what was found once stays known");
    assert_everybody_is_counted(&env).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_finds_nothing_in_a_healthy_system_and_mends_what_was_planted() {
    let env = Env::start().await;
    let (code, text) = output(&env, &["reconcile"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("with a recount: 0 had drifted"), "{text}");

    let planted = doc! { "$set": { "steep.aggregates.subscribersCount": 7_i64 } };
    env.database().collection::<Document>("users").update_one(doc! {}, planted).await.expect("planted");
    for drifted in [1, 0] {
        let (code, text) = output(&env, &["reconcile", "--channel", "Ada"]).await;
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(&format!("compared 1 users with a recount: {drifted} had drifted")), "{text}");
        assert_eq!(text.contains("had drifted from a recount: mended"), drifted == 1, "{text}");
    }
    let (code, text) = output(&env, &["reconcile", "--channel", "nobody"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("channel not found"), "{text}");
    env.finish().await;
}
