//! What a file is, by its bytes.

use bytes::Bytes;
use reqwest::Method;
use testkit::samples::{self, Sample, heif};
use testkit::{Census, Client, TestEnv, Upload, jpeg};

use crate::support::{AVATAR, COVER_IMAGE, MEDIA, REGISTER, World, assert_accepted, registration, submit};

fn everything() -> Vec<Sample> {
    [samples::pictures(), samples::other_pictures(), samples::films()].concat()
}

/// The states of a user's uploads.
async fn states(client: &Client) -> Vec<String> {
    let list = client.get(&format!("{MEDIA}?limit=100")).await.expect(200);
    let docs = list.data()["docs"].as_array().expect("a list").clone();
    docs.iter().map(|asset| asset["state"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn whatever_cloudinary_takes_is_known_by_its_bytes_whatever_it_is_called_and_gets_there() {
    let world = World::start().await;
    let user = world.member().await;
    for Sample { name, content_type, bytes } in everything() {
        let answer = submit(&user.client, "holiday.txt", &bytes).await;
        assert_eq!(answer.status, 202, "{name}: {}", answer.body);
        assert_accepted(&answer, 202);
        assert_eq!(answer.data()["contentType"], content_type, "{name}: {}", answer.body);
        // Sounds are films to Cloudinary.
        let kind = if content_type.starts_with("image/") { "image" } else { "video" };
        assert_eq!(answer.data()["resourceType"], kind, "{name}: {}", answer.body);
        assert_eq!(answer.data()["bytes"], bytes.len(), "{name}");
    }
    let worker = world.env.worker().await;
    TestEnv::until("all of them are done", || async {
        states(&user.client).await.iter().all(|state| state != "pending")
    })
    .await;
    assert_eq!(states(&user.client).await, vec!["ready"; everything().len()]);
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn an_avatar_is_a_picture_of_a_phone_or_a_browser_and_nothing_else() {
    let world = World::start().await;
    let user = world.member().await;
    let before = world.env.census().await;
    for Sample { name, bytes, .. } in samples::films().into_iter().chain(samples::other_pictures()) {
        let form = Upload::new().file("avatar", "me.jpg", bytes.into());
        let answer = user.client.upload(Method::PATCH, AVATAR, &form).await;
        assert_eq!(answer.status, 415, "{name}");
        world.refused(before, &answer, 415, &["avatar"]).await;
    }
    for Sample { name, bytes, .. } in samples::pictures() {
        for (path, field) in [(AVATAR, "avatar"), (COVER_IMAGE, "coverImage")] {
            let form = Upload::new().file(field, "me.jpg", bytes.clone().into());
            let answer = user.client.upload(Method::PATCH, path, &form).await;
            assert_eq!(answer.status, 202, "{name}: {}", answer.body);
            // A browser that cannot show it gets its address all the same.
            let address = answer.data()[field].as_str().expect("an address");
            assert_eq!(reqwest::get(address).await.expect("an answer").status(), 200, "{name}");
        }
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn an_animated_avif_is_415_with_the_reason() {
    let world = World::start().await;
    let user = world.member().await;
    let before = world.env.census().await;
    let file: Bytes = heif(b"avis", &[b"avif", b"msf1"], 8, 8).into();
    for (method, path, field) in
        [(Method::POST, MEDIA, "file"), (Method::PATCH, AVATAR, "avatar"), (Method::PATCH, COVER_IMAGE, "coverImage")]
    {
        let form = Upload::new().file(field, "moving.avif", file.clone());
        let answer = user.client.upload(method, path, &form).await;
        world.refused(before, &answer, 415, &[field]).await;
        let message = answer.body["errors"][0]["message"].as_str().expect("a message");
        assert_eq!(message, "must not be an animated AVIF: Cloudinary does not take it");
    }
    world.end().await;
}

#[tokio::test]
async fn a_file_that_only_calls_itself_an_image_is_415() {
    let world = World::start().await;
    let user = world.member().await;
    let before = world.env.census().await;
    let html = b"<!DOCTYPE html><html><script>alert(document.cookie)</script></html>".to_vec();
    let svg = b"<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>".to_vec();
    let bare_svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec();
    let words = b"just some words".to_vec();
    let pdf = b"%PDF-1.7 and so on".to_vec();
    let program = [b"\x7fELF\x02\x01\x01".to_vec(), vec![0; 100]].concat();
    let raw = [samples::iso_brands(b"crx ", &[b"isom"]), vec![0; 500]].concat();
    let unknown = samples::iso_brands(b"abcd", &[b"efgh"]);
    for file in [html.clone(), svg, bare_svg, words, pdf, program, raw, unknown, vec![0xff], vec![0; 3_000]] {
        let answer = submit(&user.client, "picture.jpg", &file).await;
        assert_eq!(answer.status, 415, "{:?}", String::from_utf8_lossy(&file[..file.len().min(40)]));
        world.refused(before, &answer, 415, &["file"]).await;
    }
    let form = registration("ada").file("avatar", "me.jpg", html.into());
    let answer = world.api.upload(Method::POST, REGISTER, &form).await;
    world.refused(before, &answer, 415, &["avatar"]).await;
    assert_eq!(user.client.get(MEDIA).await.data()["totalDocs"], 0);
    world.end().await;
}

#[tokio::test]
async fn drawings_and_documents_are_taken_where_a_setting_says_so_and_shown_to_be_saved() {
    let world = World::with(&["--media-extra-types=svg,pdf"]).await;
    let user = world.member().await;
    let svg = &b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>"[..];
    for (file, content_type) in [(svg, "image/svg+xml"), (b"%PDF-1.7 and so on", "application/pdf")] {
        let answer = submit(&user.client, "me.jpg", file).await.expect(202);
        assert_eq!(
            (&answer.data()["contentType"], &answer.data()["resourceType"]),
            (&content_type.into(), &"image".into())
        );
        let address = answer.data()["url"].as_str().expect("an address");
        let shown = reqwest::get(address).await.expect("an answer");
        assert_eq!(
            (shown.status().as_u16(), &shown.headers()["content-disposition"]),
            (200, &"attachment".parse().expect("a value"))
        );
        let before = world.env.census().await;
        let form = Upload::new().file("avatar", "me.jpg", Bytes::copy_from_slice(file));
        let refused = user.client.upload(Method::PATCH, AVATAR, &form).await;
        world.refused(before, &refused, 415, &["avatar"]).await;
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_cover_that_is_no_image_takes_the_avatar_with_it() {
    let world = World::start().await;
    let form = registration("ada").file("avatar", "me.jpg", jpeg(500_000)).file(
        "coverImage",
        "cover.png",
        b"<html></html>".to_vec().into(),
    );
    let answer = world.api.upload(Method::POST, REGISTER, &form).await;
    world.refused(Census::default(), &answer, 415, &["coverImage"]).await;
    world.end().await;
}
