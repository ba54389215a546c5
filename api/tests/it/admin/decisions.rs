//! What an admin decides about one job.

use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use store::AdminRole;
use testkit::{Answer, Client, TestEnv, jpeg};

use super::{assert_guarded, nothing};
use crate::support::{World, assert_refused, submit};

async fn decide(admin: &Client, job: &str, what: &str) -> Answer {
    admin.post(&format!("/api/v1/admin/jobs/{job}/{what}"), &nothing()).await
}

fn assert_conflict(answer: &Answer, kind: &str) {
    assert_refused(answer, 409, &[]);
    assert_eq!(answer.body["type"], format!("urn:steep:problem:{kind}"), "{}", answer.body);
}

/// The latest entry of the audit is this one.
async fn assert_noted(world: &World, admin: &Client, job: &str, action: &str, outcome: &str, count: Value) {
    let entry = world.last_entry(admin).await;
    assert_eq!((&entry["action"], &entry["outcome"]), (&json!(action), &json!(outcome)), "{entry}");
    assert_eq!((&entry["count"], &entry["target"]), (&count, &json!({"kind": "job", "id": job})), "{entry}");
}

#[tokio::test]
async fn nobody_but_an_admin_who_may_write_decides_about_a_job() {
    let world = World::start().await;
    let (admin, member) = (world.admin(AdminRole::Full).await.client, world.member().await);
    let job = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    TestEnv::until("it is published", async || {
        member.client.get(&format!("/api/v1/jobs/{job}")).await.data()["state"] == "queued"
    })
    .await;
    for what in ["retry", "discard", "cancel"] {
        let path = format!("/api/v1/admin/jobs/{job}/{what}");
        assert_guarded(&world, &admin, Method::POST, &path, &nothing()).await;
        assert_refused(&decide(&admin, "019389a0-0000-7000-8000-000000000002", what).await, 404, &[]);
        assert_refused(&decide(&admin, "first", what).await, 422, &["id"]);
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_job_that_waits_is_discarded_by_an_operator_and_retried_and_completes() {
    let world = World::start().await;
    let (admin, member) = (world.admin(AdminRole::Full).await.client, world.member().await);
    let job = member.client.replace_avatar(jpeg(2_000)).await.expect(202).job(0);

    let discarded = decide(&admin, &job, "discard").await.expect(200).data().clone();
    assert_eq!((&discarded["state"], &discarded["code"]), (&json!("discarded"), &json!("by-operator")));
    assert_eq!(discarded["reason"], "discarded by an operator");
    assert_noted(&world, &admin, &job, "job.discard", "done", json!(1)).await;
    let user = member.client.current_user().await;
    assert_eq!((&user["avatar"], &user["processing"]["avatar"]["code"]), (&json!(""), &json!("by-operator")), "{user}");
    assert_eq!(world.env.spooled_files(), 1, "its file is kept for a retry");
    let events = world.env.database().collection::<Document>("events");
    let told = doc! { "kind": "media.failed.v1", "data.job": &job };
    assert_eq!(events.count_documents(told).await.expect("a count"), 1, "its owner is told");

    assert_conflict(&decide(&admin, &job, "discard").await, "job-ended");
    assert_noted(&world, &admin, &job, "job.discard", "failed", Value::Null).await;
    assert_conflict(&decide(&admin, &job, "cancel").await, "job-ended");

    let retried = decide(&admin, &job, "retry").await.expect(200).data().clone();
    assert_eq!((&retried["state"], &retried["code"]), (&json!("pending"), &Value::Null));
    assert_noted(&world, &admin, &job, "job.retry", "done", json!(1)).await;
    assert_conflict(&decide(&admin, &job, "retry").await, "not-possible");
    let worker = world.env.worker().await;
    member.client.wait_for_job(&job, &["completed"]).await;
    assert_conflict(&decide(&admin, &job, "retry").await, "not-possible");
    assert_ne!(member.client.current_user().await["avatar"], "");
    drop(worker);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_job_whose_file_is_gone_is_not_retried() {
    let world = World::start().await;
    let (admin, member) = (world.admin(AdminRole::Full).await.client, world.member().await);
    let job = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    decide(&admin, &job, "discard").await.expect(200);
    let file = world.env.spooled().pop().expect("a file");
    std::fs::remove_file(world.env.spool().path(file.parse().expect("a file's id"))).expect("removed");
    assert_conflict(&decide(&admin, &job, "retry").await, "not-possible");
    assert_eq!(member.client.get(&format!("/api/v1/jobs/{job}")).await.data()["state"], "discarded");
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_job_that_waits_for_its_next_attempt_is_tried_at_once() {
    let world = World::start().await;
    let (admin, member) = (world.admin(AdminRole::Full).await.client, world.member().await);
    let job = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    TestEnv::until("it is published", async || {
        member.client.get(&format!("/api/v1/jobs/{job}")).await.data()["state"] == "queued"
    })
    .await;
    let far = mongodb::bson::DateTime::from_millis(4_000_000_000_000);
    let waits = doc! { "$set": { "state": "retryable", "runAt": far, "dueAt": far } };
    let jobs = world.env.database().collection::<Document>("jobs");
    jobs.update_one(doc! { "_id": &job }, waits).await.expect("written");

    let retried = decide(&admin, &job, "retry").await.expect(200).data().clone();
    assert_eq!(retried["state"], "retryable");
    assert_noted(&world, &admin, &job, "job.retry", "done", json!(1)).await;
    // A second time it is due already.
    decide(&admin, &job, "retry").await.expect(200);
    assert_noted(&world, &admin, &job, "job.retry", "done", json!(0)).await;
    let worker = world.env.worker().await;
    member.client.wait_for_job(&job, &["completed"]).await;
    drop(worker);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn an_upload_is_cancelled_by_an_operator_and_what_is_none_is_not() {
    let world = World::start().await;
    let (admin, member) = (world.admin(AdminRole::Full).await.client, world.member().await);
    let job = member.client.replace_avatar(jpeg(2_000)).await.expect(202).job(0);
    let cancelled = decide(&admin, &job, "cancel").await.expect(200).data().clone();
    assert_eq!((&cancelled["state"], &cancelled["code"]), (&json!("cancelled"), &json!("by-operator")));
    assert_eq!(cancelled["reason"], "cancelled by an operator");
    assert_noted(&world, &admin, &job, "job.cancel", "done", json!(1)).await;
    TestEnv::until("its file goes", async || world.env.spooled_files() == 0).await;
    assert_conflict(&decide(&admin, &job, "cancel").await, "job-ended");

    let worker = world.env.worker().await;
    for _ in 0..2 {
        let avatar = member.client.replace_avatar(jpeg(2_000)).await.expect(202).job(0);
        member.client.wait_for_job(&avatar, &["completed"]).await;
    }
    worker.shutdown(std::future::pending()).await;
    let jobs = world.env.database().collection::<Document>("jobs");
    let deletion = doc! { "kind": "media.delete.v1" };
    TestEnv::until("there is a deletion", async || jobs.count_documents(deletion.clone()).await.is_ok_and(|n| n > 0))
        .await;
    let deletion = jobs.find_one(deletion).await.expect("an answer").expect("a deletion");
    let (id, state) = (deletion.get_str("_id").expect("an id"), deletion.get_str("state").expect("a state"));
    let expected = if state == "completed" { "job-ended" } else { "not-cancellable" };
    let refused = decide(&admin, id, "cancel").await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(
        [expected, "not-cancellable"].iter().any(|kind| refused.body["type"] == format!("urn:steep:problem:{kind}"))
    );
    world.work_off_and_end().await;
}

#[tokio::test]
async fn an_upload_that_runs_is_discarded_and_what_it_stores_is_deleted() {
    let world = World::start().await;
    let (admin, member) = (world.admin(AdminRole::Full).await.client, world.member().await);
    let fault: cloudinary_local::Fault = "effect=delay,ms=3000,action=upload".parse().expect("a fault");
    let slow = world.env.media().install_fault(fault);
    let worker = world.env.worker().await;
    let job = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    member.client.wait_for_job(&job, &["running"]).await;
    decide(&admin, &job, "discard").await.expect(200);
    world.env.media().clear_fault(slow);
    TestEnv::until("what it may have stored is deleted", async || {
        let jobs = world.env.database().collection::<Document>("jobs");
        let deleted = doc! { "kind": "media.delete.v1", "state": "completed" };
        jobs.count_documents(deleted).await.is_ok_and(|count| count > 0)
    })
    .await;
    assert_eq!(member.client.get(&format!("/api/v1/jobs/{job}")).await.data()["state"], "discarded");
    let retried = decide(&admin, &job, "retry").await.expect(200);
    assert_eq!(retried.data()["state"], "pending");
    member.client.wait_for_job(&job, &["completed"]).await;
    drop(worker);
    world.work_off_and_end().await;
}
