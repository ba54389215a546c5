//! What is refused because we are full.

use mongodb::bson::{DateTime, Document, doc};
use testkit::{Answer, Client, TestEnv, Wire, jpeg};

use crate::support::{AVATAR, COVER_IMAGE, MEDIA, REGISTER, World, assert_accepted, assert_refused, submit};

/// Asks to upload, and sends no byte of the body.
async fn knock(client: &Client, method: &str, path: &str) -> Answer {
    let mut wire = Wire::open(client).await;
    wire.form_head(method, path, 5_000).await;
    wire.answer().await
}

async fn every_upload_is_refused(world: &World, client: &Client, status: u16) {
    let before = world.env.census().await;
    for (method, path) in [("POST", REGISTER), ("POST", MEDIA), ("PATCH", AVATAR), ("PATCH", COVER_IMAGE)] {
        let answer = knock(client, method, path).await;
        world.refused(before, &answer, status, &[]).await;
        let wait: u64 = answer.header("retry-after").parse().expect("seconds");
        assert!((1..=600).contains(&wait));
    }
}

#[tokio::test]
async fn a_spool_without_room_is_507_before_the_body_is_read() {
    let world = World::with(&[&format!("--spool-min-free={}", u64::MAX)]).await;
    let member = world.member().await;
    every_upload_is_refused(&world, &member.client, 507).await;
    let ready = world.api.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.body["dependencies"]["spool"]["state"], "down", "{}", ready.body);
    assert_eq!(world.api.get("/healthz").await.status, 200);
    // What needs no room goes on.
    assert_accepted(&member.client.get(MEDIA).await, 200);
    world.end().await;
}

#[tokio::test]
async fn a_backlog_that_is_too_long_is_503_before_the_body_is_read() {
    let world = World::with(&["--max-backlog=0"]).await;
    let member = world.member().await;
    every_upload_is_refused(&world, &member.client, 503).await;
    world.end().await;
}

#[tokio::test]
async fn uploads_are_refused_when_nothing_is_published_and_taken_again_when_it_is() {
    let world = World::with(&["--max-backlog=2", "--rabbitmq-url=amqp://guest:guest@127.0.0.1:1/nowhere"]).await;
    let member = world.member().await;
    submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202);
    submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202);
    TestEnv::until("the backlog is noticed", || async {
        submit(&member.client, "a.jpg", &jpeg(2_000)).await.status == 503
    })
    .await;
    every_upload_is_refused(&world, &member.client, 503).await;

    let worker = world.env.worker().await;
    TestEnv::until("its relay has made room", || async {
        submit(&member.client, "a.jpg", &jpeg(2_000)).await.status == 202
    })
    .await;
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn ten_thousand_jobs_in_the_queues_keep_nobody_from_uploading() {
    let world = World::start().await;
    let member = world.member().await;
    let jobs = world.env.database().collection::<Document>("jobs");
    let now = DateTime::now();
    let queued = (0..10_000).map(|number| {
        doc! { "_id": format!("queued-{number}"), "kind": "media.delete.v1", "queue": "media.delete", "state": "queued",
        "runAt": now, "dueAt": DateTime::from_millis(now.timestamp_millis() + 600_000) }
    });
    jobs.insert_many(queued).await.expect("inserted");
    let accepted = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    assert_eq!(world.api.get("/readyz").await.status, 200);

    // What a worker makes of them is a test of the worker's.
    let removed = jobs.delete_many(doc! { "state": "queued", "kind": "media.delete.v1" }).await.expect("removed");
    assert_eq!(removed.deleted_count, 10_000);
    let worker = world.env.worker().await;
    member.client.wait_for_job(&accepted, &["completed"]).await;
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn a_user_with_too_many_unfinished_uploads_is_429_before_the_body_is_read() {
    let world = World::with(&["--user-max-unfinished=2"]).await;
    let (member, other) = (world.member().await, world.member().await);
    let first = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202);
    let before = world.env.census().await;
    for (method, path) in [("POST", MEDIA), ("PATCH", AVATAR), ("PATCH", COVER_IMAGE)] {
        let answer = knock(&member.client, method, path).await;
        world.refused(before, &answer, 429, &[]).await;
        assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
    }
    assert_accepted(&submit(&other.client, "a.jpg", &jpeg(2_000)).await, 202);

    let worker = world.env.worker().await;
    member.client.wait_for_job(&first, &["completed"]).await;
    TestEnv::until("there is room again", || async {
        submit(&member.client, "a.jpg", &jpeg(2_000)).await.status == 202
    })
    .await;
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn a_refused_user_is_told_so_in_the_shape_of_every_refusal() {
    let world = World::with(&["--user-max-unfinished=0"]).await;
    let member = world.member().await;
    let answer = submit(&member.client, "a.jpg", &jpeg(2_000)).await;
    assert_refused(&answer, 429, &[]);
    assert_eq!(answer.body["type"], "urn:steep:problem:too-many");
    world.end().await;
}
