//! Clients that say that they have sent everything, before they read.

use serde_json::json;
use testkit::{PASSWORD, RawForm, TestEnv, Wire, jpeg};

use crate::support::{LOGIN, MEDIA, World, assert_accepted, assert_refused, bcrypt_hash};

#[tokio::test]
async fn a_client_that_shuts_its_side_after_the_last_byte_is_answered() {
    let world = World::start().await;
    let member = world.member_with_hash(&bcrypt_hash()).await;
    let form = RawForm::new().file("file", "a.jpg", &jpeg(300_000)).finished();
    let mut wire = Wire::open(&member.client).await;
    wire.form_head("POST", MEDIA, form.len()).await;
    wire.send(&form).await;
    wire.finish_sending().await;
    assert_accepted(&wire.answer().await, 202);
    // Nothing more can come, so nothing is waited for.
    assert_eq!(wire.until_hung_up().await, "");

    // In pieces of no declared length, and small ones; the last takes a while to be checked.
    let mut wire = Wire::open(&member.client).await;
    wire.head("POST", MEDIA, &[("content-type", testkit::FORM_TYPE), ("transfer-encoding", "chunked")]).await;
    wire.send(format!("{:x}\r\n", form.len()).as_bytes()).await;
    wire.send(&form).await;
    wire.send(b"\r\n0\r\n\r\n").await;
    wire.finish_sending().await;
    assert_accepted(&wire.answer().await, 202);

    for (password, status) in [(PASSWORD, 200), ("another", 401)] {
        let body = json!({"username": member.name, "password": password}).to_string();
        let length = body.len().to_string();
        let mut wire = Wire::open(world.api.client()).await;
        wire.head("POST", LOGIN, &[("content-type", "application/json"), ("content-length", &length)]).await;
        wire.send(body.as_bytes()).await;
        wire.finish_sending().await;
        wire.answer().await.expect(status);
    }
    let mut wire = Wire::open(&member.client).await;
    wire.head("GET", MEDIA, &[]).await;
    wire.finish_sending().await;
    let listed = wire.answer().await.expect(200);
    assert_eq!(listed.data()["totalDocs"], 2, "{}", listed.body);
    world.work_off_and_end().await;
}

/// Long before its time is up, so it was not waited for.
#[tokio::test]
async fn a_client_that_shuts_its_side_before_the_last_byte_is_noticed_at_once() {
    let world = World::with(&["--upload-idle-timeout=10m"]).await;
    let member = world.member().await;
    let before = world.env.census().await;
    let form = RawForm::new().file("file", "a.jpg", &jpeg(300_000)).finished();
    for sent in [0, 40, 200_000, form.len() - 4] {
        let mut wire = Wire::open(&member.client).await;
        wire.form_head("POST", MEDIA, form.len()).await;
        wire.send(&form[..sent]).await;
        if sent > 1_000 {
            TestEnv::until("it is being received", async || world.env.spooled_files() == 1).await;
        }
        wire.finish_sending().await;
        let answer = wire.answer().await;
        assert_refused(&answer, 400, &[]);
        world.env.settles_at(before).await;
        assert_eq!(wire.until_hung_up().await, "");
    }
    world.end().await;
}
