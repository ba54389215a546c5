//! Acting on all jobs that match a filter.

use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use store::AdminRole;
use testkit::{Client, TestEnv, jpeg};

use super::assert_guarded;
use crate::support::{Member, World, assert_accepted, assert_refused, submit};

const ACTIONS: &str = "/api/v1/admin/jobs/actions";

/// A user with so many discarded uploads, the oldest first.
async fn with_discarded(world: &World, admin: &Client, count: usize) -> (Member, Vec<String>) {
    let member = world.member().await;
    let mut jobs = Vec::new();
    for _ in 0..count {
        let job = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
        let path = format!("/api/v1/admin/jobs/{job}/discard");
        admin.post(&path, &json!({})).await.expect(200);
        jobs.push(job);
    }
    (member, jobs)
}

async fn until_ended(admin: &Client, id: &str) -> Value {
    let mut action = Value::Null;
    TestEnv::until("the action has ended", async || {
        action = admin.get(&format!("{ACTIONS}/{id}")).await.expect(200).data().clone();
        action["endedAt"].is_string()
    })
    .await;
    action
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_done_and_the_action_does_it_and_the_audit_has_it() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::Full).await;
    let (member, jobs) = with_discarded(&world, &admin.client, 12).await;
    let filter = json!({"user": member.name, "state": ["discarded"]});
    let wish = json!({"action": "retry", "filter": filter, "dryRun": true});
    assert_guarded(&world, &admin.client, Method::POST, ACTIONS, &wish).await;
    let dry = admin.client.post(ACTIONS, &wish).await.expect(200).data().clone();
    assert_eq!((&dry["matched"], &dry["action"]), (&json!({"count": 12, "atLeast": false}), &Value::Null));
    let shown: Vec<&str> =
        dry["examples"].as_array().expect("examples").iter().filter_map(|job| job["id"].as_str()).collect();
    assert_eq!(shown, jobs.iter().rev().take(10).map(String::as_str).collect::<Vec<_>>(), "the ten newest");
    let entries = world.last_entry(&admin.client).await;
    assert_eq!(entries["action"], "job.discard", "a dry run does nothing");

    let unexpected = json!({"action": "retry", "filter": filter, "expected": 11});
    assert_refused(&admin.client.post(ACTIONS, &unexpected).await, 409, &[]);
    let wish = json!({"action": "retry", "filter": filter, "expected": 12});
    let answer = admin.client.post(ACTIONS, &wish).await;
    assert_accepted(&answer, 202);
    let action = answer.data()["action"].clone();
    let id = action["id"].as_str().expect("an id");
    assert!(answer.header("location").ends_with(&format!("{ACTIONS}/{id}")));
    assert_eq!((&action["state"], &action["by"]["name"]), (&json!("pending"), &json!(admin.name)));
    assert_eq!(world.last_entry(&admin.client).await["outcome"], "begun");

    let worker = world.env.worker().await;
    let ended = until_ended(&admin.client, id).await;
    assert_eq!((&ended["state"], &ended["done"], &ended["failed"]), (&json!("completed"), &json!(12), &json!(0)));
    for job in &jobs {
        member.client.wait_for_job(job, &["completed"]).await;
    }
    let entry = world.last_entry(&admin.client).await;
    assert_eq!(
        (&entry["action"], &entry["outcome"], &entry["count"]),
        (&json!("jobs.act"), &json!("done"), &json!(12))
    );
    assert!(
        entry["detail"].as_str().is_some_and(|detail| detail.starts_with("retry where state=discarded")),
        "{entry}"
    );
    assert_refused(&admin.client.post(&format!("{ACTIONS}/{id}/stop"), &json!({})).await, 409, &[]);
    let listed = admin.client.get(ACTIONS).await.expect(200);
    assert_eq!((&listed.data()["items"], &listed.data()["nextCursor"]), (&json!([ended]), &Value::Null));
    drop(worker);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn an_empty_filter_and_nonsense_are_refused_and_nothing_is_stored() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::Full).await.client;
    for (body, field) in [
        (json!({"action": "retry"}), "filter"),
        (json!({"action": "retry", "filter": {}}), "filter"),
        (json!({"action": "retry", "filter": {"state": [], "kind": null}, "dryRun": true}), "filter"),
        (json!({"action": "discard", "filter": {"state": ""}}), "filter"),
        (json!({"action": "delete", "filter": {"state": ["discarded"]}}), "action"),
        (json!({"filter": {"state": ["discarded"]}}), "action"),
        (json!({"action": "retry", "filter": {"state": ["sleeping"]}}), "state"),
        (json!({"action": "retry", "filter": {"state": ["completed"]}}), "state"),
        (json!({"action": "retry", "filter": {"stat": ["discarded"]}}), "stat"),
        (json!({"action": "retry", "filter": {"asset": 7}}), "asset"),
        (json!({"action": "retry", "filter": {"user": "nobody"}}), "user"),
    ] {
        assert_refused(&admin.post(ACTIONS, &body).await, 422, &[field]);
    }
    for wrong in [json!({"action": "retry", "filter": "all"}), json!({"action": "retry", "filter": ["state"]})] {
        assert_eq!(admin.post(ACTIONS, &wrong).await.status, 422);
    }
    let stored = world.env.database().collection::<Document>("bulk_actions");
    assert_eq!(stored.count_documents(doc! {}).await.expect("a count"), 0);
    assert_refused(&admin.get(&format!("{ACTIONS}?cursor=nonsense")).await, 422, &["cursor"]);
    assert_refused(&admin.get(&format!("{ACTIONS}/019389a0-0000-7000-8000-000000000002")).await, 404, &[]);
    world.end().await;
}

#[tokio::test]
async fn an_action_that_is_stopped_before_a_worker_comes_changes_nothing() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::Full).await.client;
    let (member, jobs) = with_discarded(&world, &admin, 1).await;
    let wish = json!({"action": "retry", "filter": {"user": member.id.to_string()}});
    let action = admin.post(ACTIONS, &wish).await.expect(202).data()["action"].clone();
    let stop = format!("{ACTIONS}/{}/stop", action["id"].as_str().expect("an id"));
    assert_guarded(&world, &admin, Method::POST, &stop, &json!({})).await;
    for _ in 0..2 {
        let stopping = admin.post(&stop, &json!({})).await.expect(200);
        assert_eq!(stopping.data()["isStopping"], true);
    }
    let worker = world.env.worker().await;
    let ended = until_ended(&admin, action["id"].as_str().expect("an id")).await;
    assert_eq!((&ended["state"], &ended["done"]), (&json!("stopped"), &json!(0)));
    assert_eq!(member.client.get(&format!("/api/v1/jobs/{}", jobs[0])).await.data()["state"], "discarded");
    drop(worker);
    let retry = format!("/api/v1/admin/jobs/{}/retry", jobs[0]);
    admin.post(&retry, &json!({})).await.expect(200);
    world.work_off_and_end().await;
}
