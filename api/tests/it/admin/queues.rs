//! Queues and users that admins pause.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use store::{AdminRole, JobState};
use testkit::{TestEnv, jpeg};

use super::fleet::{delete, put};
use super::{assert_guarded, nothing};
use crate::support::{World, assert_refused};

#[tokio::test]
async fn a_queue_is_paused_once_its_jobs_say_so_and_go_on_when_it_is_resumed() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::Full).await;
    let path = "/api/v1/admin/queues/media.upload/pause";
    assert_guarded(&world, &admin.client, Method::PUT, path, &nothing()).await;
    let paused = put(&admin.client, path, &json!({"why": "a test"})).await.expect(200).data().clone();
    assert_eq!((&paused["name"], &paused["changed"]), (&json!("media.upload"), &json!(true)));
    let again = put(&admin.client, path, &nothing()).await.expect(200).body.clone();
    assert_eq!((&again["data"]["changed"], &again["data"]["control"]), (&json!(false), &paused["control"]));
    assert_eq!(again["message"], "The queue was paused already");
    let queues = admin.client.get("/api/v1/admin/queues").await.expect(200).data()["queues"].clone();
    let queues = queues.as_array().expect("queues");
    for queue in queues {
        assert_eq!(queue["paused"].is_null(), queue["queue"] != "media.upload", "{queue}");
    }
    assert_eq!(queues.len(), messages::Job::KINDS.len());
    for unknown in ["media.upload.v1", "media", "media.upload.here"] {
        let path = format!("/api/v1/admin/queues/{unknown}/pause");
        assert_refused(&put(&admin.client, &path, &nothing()).await, 404, &[]);
        assert_refused(&delete(&admin.client, &path).await, 404, &[]);
    }

    let _worker = world.env.worker_with(|config| config.settings.learn_every = Duration::from_millis(50)).await;
    let member = world.member().await;
    let accepted = member.client.submit("a.jpg", jpeg(2_000)).await.expect(202);
    let job = format!("/api/v1/jobs/{}", accepted.job(0));
    let waits = member.client.get(&job).await.expect(200).data()["waits"].clone();
    assert_eq!((&waits["code"], &waits["until"]), (&json!("queue-paused"), &Value::Null));
    assert_eq!(waits["reason"], "waits because all jobs of its kind are paused");
    assert_eq!(delete(&admin.client, path).await.expect(200).data()["changed"], true);
    assert_eq!(delete(&admin.client, path).await.expect(200).data()["changed"], false);
    let entry = world.last_entry(&admin.client).await;
    assert_eq!((&entry["action"], &entry["count"]), (&json!("queue.resume"), &json!(0)));
    TestEnv::until("it is uploaded", async || member.client.get(&job).await.data()["state"] == "completed").await;
    world.end().await;
}

#[tokio::test]
async fn a_paused_users_uploads_are_accepted_and_wait_until_they_are_resumed() {
    let world = World::start().await;
    let admin = world.admin(AdminRole::Full).await;
    let (member, other) = (world.member().await, world.member().await);
    let path = format!("/api/v1/admin/users/{}/pause", member.name.to_uppercase());
    assert_guarded(&world, &admin.client, Method::PUT, &path, &nothing()).await;
    assert_eq!(put(&admin.client, &path, &nothing()).await.expect(200).data()["changed"], true);
    let entry = world.last_entry(&admin.client).await;
    assert_eq!(entry["target"], json!({"kind": "user", "id": member.id.to_string()}));
    assert_refused(&put(&admin.client, "/api/v1/admin/users/nobody/pause", &nothing()).await, 404, &[]);

    let _worker = world.env.worker_with(|config| config.settings.learn_every = Duration::from_millis(50)).await;
    let accepted = member.client.submit("a.jpg", jpeg(2_000)).await.expect(202);
    let job = format!("/api/v1/jobs/{}", accepted.job(0));
    TestEnv::until("a worker has left it alone", async || {
        let told = member.client.get(&job).await;
        told.data()["state"] == JobState::Retryable.as_str()
    })
    .await;
    let told = member.client.get(&job).await.data().clone();
    assert_eq!((&told["failures"], &told["waits"]["code"]), (&json!(0), &json!("user-paused")));
    assert_eq!(told["waits"]["reason"], "waits because your jobs are paused");
    let theirs = other.client.submit("a.jpg", jpeg(3_000)).await.expect(202);
    let theirs = format!("/api/v1/jobs/{}", theirs.job(0));
    TestEnv::until("others go on", async || other.client.get(&theirs).await.data()["state"] == "completed").await;

    assert_eq!(delete(&admin.client, &path).await.expect(200).data()["changed"], true);
    TestEnv::until("it is uploaded", async || member.client.get(&job).await.data()["state"] == "completed").await;
    assert_eq!(member.client.get(&job).await.data()["failures"], 0);
    world.end().await;
}
