//! Clients that do not get on with it.

use std::time::Duration;

use testkit::{RawForm, Wire, jpeg};

use crate::support::{LOGIN, MEDIA, World, assert_refused};

#[tokio::test]
async fn a_client_that_falls_silent_is_cut_off_and_leaves_nothing() {
    let world = World::with(&["--upload-idle-timeout=300ms"]).await;
    let member = world.member().await;
    let before = world.env.census().await;
    let form = RawForm::new().file("file", "a.jpg", &jpeg(600_000)).unfinished();
    // Before the first byte, in a head, and in a file of which a part is on the disk.
    for sent in [0, 40, 500_000] {
        let mut wire = Wire::open(&member.client).await;
        wire.form_head("POST", MEDIA, 700_000).await;
        wire.send(&form[..sent]).await;
        let answer = wire.answer().await;
        world.refused(before, &answer, 408, &[]).await;
        assert!(answer.took >= Duration::from_millis(300), "{:?}", answer.took);
        assert!(answer.took < Duration::from_secs(10), "{:?}", answer.took);
    }
    world.end().await;
}

#[tokio::test]
async fn a_client_that_sends_a_byte_now_and_then_is_cut_off() {
    let world = World::with(&["--upload-idle-timeout=500ms", "--upload-min-rate=100000"]).await;
    let member = world.member().await;
    let before = world.env.census().await;
    let mut wire = Wire::open(&member.client).await;
    wire.form_head("POST", MEDIA, 700_000).await;
    let form = RawForm::new().file("file", "a.jpg", &jpeg(600_000)).unfinished();
    for byte in form.iter().take(30) {
        wire.send(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = wire.answer().await;
    world.refused(before, &answer, 408, &[]).await;
    world.end().await;
}

#[tokio::test]
async fn a_client_that_is_only_slow_is_waited_for() {
    let world = World::with(&["--upload-idle-timeout=2s", "--upload-min-rate=1000"]).await;
    let member = world.member().await;
    let form = RawForm::new().file("file", "a.jpg", &jpeg(50_000)).finished();
    let mut wire = Wire::open(&member.client).await;
    wire.form_head("POST", MEDIA, form.len()).await;
    for piece in form.chunks(10_000) {
        wire.send(piece).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    wire.answer().await.expect(202);
    world.work_off_and_end().await;
}

/// Sends bytes one at a time until told to stop.
async fn trickle(mut wire: Wire, bytes: Vec<u8>, pause: Duration) -> Wire {
    for byte in bytes {
        wire.send(&[byte]).await;
        tokio::time::sleep(pause).await;
    }
    wire
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_cut_off() {
    let world = World::with(&["--request-head-timeout=1s"]).await;
    let wire = Wire::open(world.api.client()).await;
    let head = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-long: {}", "a".repeat(40));
    let mut wire = trickle(wire, head.into_bytes(), Duration::from_millis(50)).await;
    assert!(!wire.until_hung_up().await.contains("200 OK"));
    // And so is a connection on which nothing comes at all.
    let mut silent = Wire::open(world.api.client()).await;
    assert_eq!(silent.until_hung_up().await, "");
    // One that is in time is answered.
    world.api.get("/healthz").await.expect(200);
    world.end().await;
}

#[tokio::test]
async fn a_json_body_that_comes_byte_by_byte_is_cut_off() {
    let world = World::start().await;
    let mut wire = Wire::open(world.api.client()).await;
    let body = format!(r#"{{"username": "ada", "password": "{}"}}"#, "a".repeat(500));
    let length = body.len().to_string();
    wire.head("POST", LOGIN, &[("content-type", "application/json"), ("content-length", &length)]).await;
    // It has ten seconds, in which a byte each 200 ms are not a tenth of it.
    let mut wire = trickle(wire, body.into_bytes()[..70].to_vec(), Duration::from_millis(200)).await;
    assert_refused(&wire.answer().await, 408, &[]);
    wire.until_hung_up().await;
    world.end().await;
}
