//! Sizes and names of files.

mod metadata;
mod types;
mod whole;

use bytes::Bytes;
use reqwest::Method;
use testkit::{Answer, Census, RawForm, Upload, Wire, jpeg};

use crate::support::{AVATAR, COVER_IMAGE, MEDIA, REGISTER, World, assert_accepted, post_form, registration, submit};

#[tokio::test]
async fn an_empty_file_with_a_name_is_422() {
    let world = World::start().await;
    let user = world.member().await;
    let before = world.env.census().await;
    let form = registration("ada").file("avatar", "me.jpg", Bytes::new());
    let answer = world.api.upload(Method::POST, REGISTER, &form).await;
    world.refused(before, &answer, 422, &["avatar"]).await;
    let answer = submit(&user.client, "film.mp4", b"").await;
    world.refused(before, &answer, 422, &["file"]).await;
    world.end().await;
}

#[tokio::test]
async fn an_empty_file_without_a_name_is_one_that_was_not_chosen() {
    let world = World::start().await;
    let user = world.member().await;
    let before = world.env.census().await;
    let form = RawForm::new().file("avatar", "", b"").finished();
    let answer = post_form(&user.client, Method::PATCH, AVATAR, form).await;
    world.refused(before, &answer, 422, &["avatar"]).await;

    let form = registration("ada").file("avatar", "me.jpg", jpeg(2_000)).file("coverImage", "", Bytes::new());
    let answer = world.api.upload(Method::POST, REGISTER, &form).await;
    assert_accepted(&answer, 201);
    assert_eq!(answer.data()["coverImage"], "");
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_file_of_exactly_the_limit_is_accepted_and_one_byte_more_is_413() {
    let limits = ["--avatar-max-bytes=300000", "--cover-image-max-bytes=20000", "--media-max-bytes=400000"];
    let world = World::with(&limits).await;
    let user = world.member().await;
    for (method, path, field, limit) in [
        (Method::PATCH, AVATAR, "avatar", 300_000),
        (Method::PATCH, COVER_IMAGE, "coverImage", 20_000),
        (Method::POST, MEDIA, "file", 400_000),
    ] {
        let before = world.env.census().await;
        let form = Upload::new().file(field, "a.jpg", jpeg(limit + 1));
        let answer = user.client.upload(method.clone(), path, &form).await;
        world.refused(before, &answer, 413, &[field]).await;
        let form = Upload::new().file(field, "a.jpg", jpeg(limit));
        assert_accepted(&user.client.upload(method, path, &form).await, 202);
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_cover_image_over_the_limit_takes_the_avatar_with_it() {
    let world = World::with(&["--cover-image-max-bytes=1000"]).await;
    let form = registration("ada").file("avatar", "me.jpg", jpeg(600_000)).file("coverImage", "c.jpg", jpeg(1_001));
    let answer = world.api.upload(Method::POST, REGISTER, &form).await;
    world.refused(Census::default(), &answer, 413, &["coverImage"]).await;
    world.end().await;
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_refused_before_the_body_is_read() {
    let world = World::with(&["--avatar-max-bytes=1000", "--cover-image-max-bytes=1000"]).await;
    let user = world.member().await;
    let before = world.env.census().await;
    for (method, path, fields) in
        [("POST", REGISTER, vec![]), ("PATCH", AVATAR, vec!["avatar"]), ("PATCH", COVER_IMAGE, vec!["coverImage"])]
    {
        let mut wire = Wire::open(&user.client).await;
        wire.form_head(method, path, 50_000_000).await;
        let answer = wire.answer().await;
        world.refused(before, &answer, 413, &fields).await;
    }
    world.end().await;
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_never_asked_for_one_that_is_refused() {
    let world = World::with(&["--avatar-max-bytes=1000"]).await;
    let user = world.member().await;
    let mut wire = Wire::open(&user.client).await;
    let headers = [("content-type", testkit::FORM_TYPE), ("content-length", "50000000"), ("expect", "100-continue")];
    wire.head("PATCH", AVATAR, &headers).await;
    // 100 Continue would be read as the answer.
    let answer = wire.answer().await;
    assert_eq!(answer.status, 413, "{}", answer.body);
    drop(wire);
    world.end().await;
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_is_asked_when_everything_else_is_right() {
    let world = World::start().await;
    let user = world.member().await;
    let form = RawForm::new().file("avatar", "a.jpg", &jpeg(300_000)).finished();
    let length = form.len().to_string();
    let mut wire = Wire::open(&user.client).await;
    let headers = [("content-type", testkit::FORM_TYPE), ("content-length", &length), ("expect", "100-continue")];
    wire.head("PATCH", AVATAR, &headers).await;
    assert_eq!(wire.answer().await.status, 100);
    wire.send(&form).await;
    assert_accepted(&wire.answer().await, 202);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_body_without_a_declared_length_is_cut_at_the_limit() {
    let world = World::with(&["--avatar-max-bytes=100000"]).await;
    let user = world.member().await;
    let before = world.env.census().await;
    let mut wire = Wire::open(&user.client).await;
    wire.head("PATCH", AVATAR, &[("content-type", testkit::FORM_TYPE), ("transfer-encoding", "chunked")]).await;
    let form = RawForm::new().file("avatar", "a.jpg", &jpeg(300_000)).finished();
    for chunk in form.chunks(50_000) {
        wire.send(format!("{:x}\r\n", chunk.len()).as_bytes()).await;
        wire.send(chunk).await;
        wire.send(b"\r\n").await;
    }
    let answer = wire.answer().await;
    world.refused(before, &answer, 413, &["avatar"]).await;
    world.end().await;
}

#[tokio::test]
async fn a_client_that_sends_everything_before_it_reads_still_learns_why_it_was_refused() {
    let world = World::with(&["--avatar-max-bytes=1000"]).await;
    let user = world.member().await;
    let before = world.env.census().await;
    let form = Upload::new().file("avatar", "a.jpg", jpeg(20_000_000));
    let answer = user.client.upload(Method::PATCH, AVATAR, &form).await;
    world.refused(before, &answer, 413, &["avatar"]).await;
    world.end().await;
}

#[tokio::test]
async fn a_file_name_with_a_path_is_kept_as_a_name_and_touches_nothing_outside_the_spool() {
    let world = World::start().await;
    let user = world.member().await;
    let before: Vec<_> = listing(world.env.folder());
    for (sent, kept) in [
        ("../../../../tmp/steep-escaped.jpg", "steep-escaped.jpg"),
        ("/etc/passwd", "passwd"),
        ("C:\\\\Users\\\\ada\\\\me.jpg", "me.jpg"),
        ("..", "upload"),
        ("\u{202e}gpj.exe", "gpj.exe"),
    ] {
        let form = RawForm::new().file("file", sent, &jpeg(2_000)).finished();
        let answer = post_form(&user.client, Method::POST, MEDIA, form).await;
        assert_accepted(&answer, 202);
        assert_eq!(answer.data()["originalName"], kept);
    }
    assert!(!std::path::Path::new("/tmp/steep-escaped.jpg").exists());
    assert_eq!(listing(world.env.folder()), before, "only the spool's own areas hold files");
    world.work_off_and_end().await;
}

#[tokio::test]
async fn of_sixteen_who_register_at_once_with_one_file_name_everybody_is_shown_their_own_pictures() {
    let world = World::start().await;
    let mut registering = tokio::task::JoinSet::new();
    for number in 0..16 {
        let client = world.api.client().clone();
        registering.spawn(async move {
            let pictures = [("avatar", jpeg(20_000)), ("coverImage", jpeg(20_000))];
            let mut form = registration(&format!("ada{number}"));
            for (field, picture) in &pictures {
                form = form.file(field, "me.jpg", picture.clone());
            }
            (pictures, client.upload(Method::POST, REGISTER, &form).await)
        });
    }
    let registered = registering.join_all().await;
    assert_shown(&registered).await;
    // And so is it once they are at the media host, where the addresses lead then.
    let worker = world.env.worker().await;
    world.env.settles_at(Census { users: 16, assets: 32, jobs: 32, answers: 0, files: 0 }).await;
    assert_shown(&registered).await;
    world.end().await;
    drop(worker);
}

/// Fails unless all have registered, and the addresses that each was answered show what that one has sent.
async fn assert_shown(registered: &[([(&str, Bytes); 2], Answer)]) {
    for (pictures, answer) in registered {
        assert_accepted(answer, 201);
        for (field, picture) in pictures {
            let address = answer.data()[field].as_str().expect("an address");
            let shown = reqwest::get(address).await.expect("an answer").bytes().await.expect("a picture");
            assert!(shown == picture, "another {field}: {}", answer.body);
        }
    }
}

/// What lies in the test's folder and the spool's, but not in the spool's areas.
fn listing(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for folder in [folder.to_owned(), folder.join("spool")] {
        let entries = std::fs::read_dir(folder).expect("a folder");
        found.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    found.sort();
    found
}
