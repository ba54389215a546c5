//! Clients that do not get on with it.

use std::time::Duration;

use testkit::{RawForm, Wire, jpeg};

use crate::support::{MEDIA, World};

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
