//! What a file is, by its bytes.

use reqwest::Method;
use testkit::{Census, Client, Leftovers, TestEnv, Upload, jpeg, mp4};

use crate::support::{AVATAR, MEDIA, REGISTER, World, assert_accepted, registration, submit};

/// The first bytes of an ISO base media file (ISO/IEC 14496-12, section 4.3), filled up.
fn iso_media(major: &[u8; 4], compatible: &[&[u8; 4]]) -> Vec<u8> {
    let length = u32::try_from(16 + 4 * compatible.len()).expect("a few brands");
    let mut file = length.to_be_bytes().to_vec();
    file.extend_from_slice(b"ftyp");
    file.extend_from_slice(major);
    file.extend_from_slice(&[0; 4]);
    compatible.iter().for_each(|brand| file.extend_from_slice(*brand));
    file.resize(1_000, 0);
    file
}

/// The first bytes of a Matroska file (RFC 9559, section 4), filled up.
fn ebml(doc_type: &str) -> Vec<u8> {
    let mut file = vec![0x1a, 0x45, 0xdf, 0xa3, 0x9f, 0x42, 0x86, 0x81, 0x01, 0x42, 0x82];
    file.push(0x80 | u8::try_from(doc_type.len()).expect("a short word"));
    file.extend_from_slice(doc_type.as_bytes());
    file.resize(1_000, 0);
    file
}

fn images() -> Vec<(&'static str, Vec<u8>)> {
    let filled = |head: &[u8]| [head, &[0; 500]].concat();
    vec![
        ("image/jpeg", jpeg(2_000).to_vec()),
        ("image/png", filled(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")),
        ("image/gif", filled(b"GIF89a\x01\x00\x01\x00")),
        ("image/webp", filled(b"RIFF\x00\x02\x00\x00WEBPVP8 ")),
        ("image/avif", iso_media(b"avif", &[b"avif", b"mif1", b"miaf"])),
    ]
}

fn videos() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("video/mp4", mp4(2_000).to_vec()),
        ("video/mp4", iso_media(b"iso6", &[b"mp41", b"dash"])),
        ("video/mp4", iso_media(b"M4V ", &[b"isom"])),
        // Cameras and packagers put a brand of their own first, and say in the list what it is compatible with.
        ("video/mp4", iso_media(b"XAVC", &[b"XAVC", b"mp42", b"iso2"])),
        ("video/mp4", iso_media(b"cmfc", &[b"iso9", b"cmfc", b"mp41"])),
        ("video/quicktime", iso_media(b"qt  ", &[b"qt  "])),
        ("video/webm", ebml("webm")),
        ("video/x-matroska", ebml("matroska")),
    ]
}

/// The states of a user's uploads.
async fn states(client: &Client) -> Vec<String> {
    let list = client.get(&format!("{MEDIA}?limit=100")).await.expect(200);
    let docs = list.data()["docs"].as_array().expect("a list").clone();
    docs.iter().map(|asset| asset["state"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn every_image_and_video_is_known_by_its_bytes_whatever_it_is_called() {
    let world = World::start().await;
    let user = world.member().await;
    for (content_type, file) in images().into_iter().chain(videos()) {
        let answer = submit(&user.client, "holiday.txt", &file).await;
        assert_accepted(&answer, 202);
        assert_eq!(answer.data()["contentType"], content_type, "{}", answer.body);
        let kind = content_type.split('/').next();
        assert_eq!(answer.data()["resourceType"].as_str(), kind, "{}", answer.body);
        assert_eq!(answer.data()["bytes"], file.len());
    }
    // The media host looks at more than the first bytes, and refuses for good what is broken behind them.
    let worker = world.env.worker().await;
    TestEnv::until("all of them are done", || async {
        states(&user.client).await.iter().all(|state| state != "pending")
    })
    .await;
    let files = states(&user.client).await.iter().filter(|state| *state == "failed").count();
    world.api.stop().await;
    world.env.finish_with(Leftovers { files, ..Leftovers::default() }).await;
    drop(worker);
}

#[tokio::test]
async fn an_avatar_is_an_image_and_no_video() {
    let world = World::start().await;
    let user = world.member().await;
    let before = world.env.census().await;
    for (content_type, file) in videos() {
        let form = Upload::new().file("avatar", "me.jpg", file.into());
        let answer = user.client.upload(Method::PATCH, AVATAR, &form).await;
        assert_eq!(answer.status, 415, "{content_type}");
        world.refused(before, &answer, 415, &["avatar"]).await;
    }
    for (content_type, file) in images() {
        let answer = user.client.replace_avatar(file.into()).await;
        assert_eq!(answer.status, 202, "{content_type}: {}", answer.body);
    }
    // Unlike some of those, this one is whole.
    user.client.replace_avatar(jpeg(2_000)).await.expect(202);
    world.work_off_and_end().await;
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
    let heic = iso_media(b"heic", &[b"mif1", b"heic"]);
    let audio = iso_media(b"M4A ", &[b"M4A ", b"mp42", b"isom"]);
    let unknown = iso_media(b"abcd", &[b"efgh"]);
    for file in [html.clone(), svg, bare_svg, words, pdf, program, heic, audio, unknown, vec![0xff], vec![0; 3_000]] {
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
