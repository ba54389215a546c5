//! What is refused because we are full.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mongodb::bson::{DateTime, Document, doc};
use reqwest::{Body, Method};
use testkit::{Answer, Client, FORM_TYPE, RawForm, TestEnv, Wire, jpeg};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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

/// A client that does not say how much will come, and never ends. Others use the disk too meanwhile: a database sets aside
/// 300 MiB of it at once, and what is removed may make room again.
#[tokio::test]
async fn a_chunked_upload_stops_at_the_floor_of_the_disk() {
    const MIB: usize = 1024 * 1024;
    let world = World::start().await;
    let member = world.member().await;
    let before = world.env.census().await;
    // Only now: others must not use that up before the upload is let in.
    let floor = world.env.spool().free_bytes().expect("a disk") - 1024 * MIB as u64;
    let limits = [format!("--spool-min-free={floor}"), format!("--media-max-bytes={}", u64::MAX)];
    let api = world.env.api_with(&limits.each_ref().map(String::as_str)).await;
    let client = api.client().with_token(member.client.token().expect("a session"));
    let form = Bytes::from(RawForm::new().file("file", "a.jpg", &jpeg(MIB)).unfinished());
    // Slowly enough for the disk to be looked at in between, and for the answer to come before the connection ends.
    let pieces = stream::iter([form]).chain(stream::repeat(Bytes::from(vec![0; MIB]))).then(async |piece| {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok::<_, std::io::Error>(piece)
    });
    let request = client.request(Method::POST, MEDIA).header("content-type", FORM_TYPE);
    let request = request.timeout(Duration::from_secs(120)).body(Body::wrap_stream(pieces));
    world.refused(before, &client.send(request).await, 507, &[]).await;
    api.stop().await;
    world.end().await;
}

/// Each of them would fit alone. The room is large beside what others do to the disk meanwhile.
#[tokio::test]
async fn of_many_announced_at_once_no_more_are_let_in_than_the_disk_has_room_for() {
    const MIB: usize = 1024 * 1024;
    const ROOM: usize = 1024 * MIB;
    const EACH: usize = 16 * MIB;
    const MANY: usize = 192;
    let world = World::start().await;
    let member = world.member().await;
    let floor = world.env.spool().free_bytes().expect("a disk") - ROOM as u64;
    let floor = format!("--spool-min-free={floor}");
    let api = world.env.api_with(&[&floor, "--user-max-unfinished=1000", "--max-connections-address=1000"]).await;
    let client = api.client().with_token(member.client.token().expect("a session"));
    let enough = CancellationToken::new();
    let mut uploads = JoinSet::new();
    for _ in 0..MANY {
        let (client, enough) = (client.clone(), enough.clone());
        uploads.spawn(async move {
            let mut wire = Wire::open(&client).await;
            wire.form_head("POST", MEDIA, EACH).await;
            // Whoever is let in hears nothing until it has sent everything.
            enough.run_until_cancelled(wire.answer()).await
        });
    }
    for _ in 0..MANY - 2 * ROOM / EACH {
        let answer = uploads.join_next().await.expect("one more").expect("no panic");
        assert_refused(&answer.expect("nobody has had enough"), 507, &[]);
    }
    enough.cancel();
    let let_in = uploads.join_all().await.into_iter().filter(Option::is_none).count();
    println!("{let_in} of {MANY} were let in");
    // They have gone, and what they were promised is there for others.
    TestEnv::until("there is room again", || async { submit(&client, "a.jpg", &jpeg(2_000)).await.status == 202 })
        .await;
    api.stop().await;
    world.work_off_and_end().await;
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

/// The database knows an upload when it has been received; until then the process that receives it counts it.
#[tokio::test]
async fn of_many_at_once_only_as_many_are_taken_as_may_be_unfinished() {
    let world = World::with(&["--user-max-unfinished=3"]).await;
    let (member, other) = (world.member().await, world.member().await);
    let form = RawForm::new().file("file", "a.jpg", &jpeg(20_000)).finished();
    let others_are_refused = CancellationToken::new();
    let mut uploads = JoinSet::new();
    for _ in 0..8 {
        let (client, form, go_on) = (member.client.clone(), form.clone(), others_are_refused.clone());
        uploads.spawn(async move {
            let mut wire = Wire::open(&client).await;
            wire.form_head("POST", MEDIA, form.len()).await;
            wire.send(&form[..10_000]).await;
            tokio::select! {
                refused = wire.answer() => return refused,
                () = go_on.cancelled() => {}
            }
            wire.send(&form[10_000..]).await;
            wire.answer().await
        });
    }
    for _ in 0..5 {
        assert_refused(&uploads.join_next().await.expect("one more").expect("no panic"), 429, &[]);
    }
    assert_accepted(&submit(&other.client, "a.jpg", &jpeg(2_000)).await, 202);
    others_are_refused.cancel();
    for answer in uploads.join_all().await {
        assert_accepted(&answer, 202);
    }
    assert_refused(&submit(&member.client, "a.jpg", &jpeg(2_000)).await, 429, &[]);
    world.work_off_and_end().await;
}

/// A client that goes away gives back what it was promised.
#[tokio::test]
async fn an_upload_that_was_broken_off_is_no_longer_under_way() {
    let world = World::with(&["--user-max-unfinished=1"]).await;
    let member = world.member().await;
    let mut wire = Wire::open(&member.client).await;
    wire.form_head("POST", MEDIA, 400_000).await;
    wire.send(&RawForm::new().file("file", "a.jpg", &jpeg(200_000)).unfinished()).await;
    TestEnv::until("it is being received", async || world.env.spooled_files() == 1).await;
    assert_eq!(submit(&member.client, "a.jpg", &[]).await.status, 429);
    drop(wire);
    TestEnv::until("there is room again", || async {
        submit(&member.client, "a.jpg", &jpeg(2_000)).await.status == 202
    })
    .await;
    world.work_off_and_end().await;
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
