//! Pictures that claim too much, and files that end too early.

use bytes::Bytes;
use reqwest::Method;
use testkit::samples::{self, iso_box, iso_brands, png_of};
use testkit::{Upload, jpeg};

use crate::support::{AVATAR, COVER_IMAGE, MEDIA, World, assert_accepted, submit};

const FIELDS: [(Method, &str, &str); 3] =
    [(Method::POST, MEDIA, "file"), (Method::PATCH, AVATAR, "avatar"), (Method::PATCH, COVER_IMAGE, "coverImage")];

#[tokio::test]
async fn a_picture_of_a_few_bytes_that_claims_too_many_pixels_is_422_and_told_how_many() {
    let world = World::start().await;
    let user = world.member().await;
    let before = world.env.census().await;
    let huge = png_of(50_000, 50_000);
    assert!(huge.len() < 80);
    let phone = samples::heif(b"heic", &[b"mif1"], 50_000, 50_000);
    for (method, path, field) in FIELDS {
        for file in [&huge, &phone] {
            let form = Upload::new().file(field, "a.png", Bytes::copy_from_slice(file));
            let answer = user.client.upload(method.clone(), path, &form).await;
            world.refused(before, &answer, 422, &[field]).await;
            let message = answer.body["errors"][0]["message"].as_str().expect("a message");
            assert_eq!(message, "has 50000 × 50000 pixels by its header; at most 100000000 are taken");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_setting_says_how_many_pixels_there_may_be() {
    let world = World::with(&["--upload-max-pixels=64"]).await;
    let user = world.member().await;
    let before = world.env.census().await;
    let answer = user.client.replace_avatar(png_of(8, 9).into()).await;
    world.refused(before, &answer, 422, &["avatar"]).await;
    assert_accepted(&user.client.replace_avatar(png_of(8, 8).into()).await, 202);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_file_that_ends_before_its_end_is_422_and_leaves_nothing() {
    let world = World::start().await;
    let user = world.member().await;
    let before = world.env.census().await;
    let cut = |file: &[u8], bytes: usize| Bytes::copy_from_slice(&file[..file.len() - bytes]);
    let (heic, jxl) = (samples::heif(b"heic", &[], 8, 8), samples::pictures().pop().expect("a JPEG XL").bytes);
    let pictures = [
        ("a PNG without IEND", cut(&samples::png(), 12)),
        ("a PNG with half of its IEND", cut(&samples::png(), 4)),
        ("a JPEG without EOI", cut(&jpeg(2_000), 2)),
        // More than is written at once.
        ("a long JPEG without EOI", cut(&jpeg(600_000), 2)),
        ("a GIF without the end of its frame", cut(&samples::gif(), 3)),
        ("a WebP that is shorter than it says", cut(&samples::webp(), 3)),
        ("a HEIC without some of its data", cut(&heic, 10)),
        ("a JPEG XL without some of its data", cut(&jxl, 10)),
    ];
    let films = [
        ("an MP4 without moov", Bytes::from([iso_brands(b"isom", &[]), iso_box(b"mdat", &[0; 300_000])].concat())),
        ("an MP4 with half of moov", cut(&[iso_brands(b"isom", &[]), iso_box(b"moov", &[0; 100])].concat(), 50)),
        ("a JPEG 2000 without some of its data", cut(&samples::jp2(8, 8), 10)),
    ];
    for (name, file) in &pictures {
        let answer = user.client.replace_avatar(file.clone()).await;
        assert_eq!(answer.status, 422, "{name}: {}", answer.body);
        world.refused(before, &answer, 422, &["avatar"]).await;
    }
    for (name, file) in pictures.iter().chain(&films) {
        let answer = submit(&user.client, "a", file).await;
        assert_eq!(answer.status, 422, "{name}: {}", answer.body);
        world.refused(before, &answer, 422, &["file"]).await;
        let message = answer.body["errors"][0]["message"].as_str().expect("a message");
        assert!(message.starts_with("ends before its end: "), "{name}: {message}");
    }
    world.end().await;
}

#[tokio::test]
async fn what_plays_however_early_it_ends_is_taken() {
    let world = World::start().await;
    let user = world.member().await;
    let film = [iso_brands(b"isom", &[]), iso_box(b"moov", &[0; 100]), iso_box(b"mdat", &[0; 9_000])].concat();
    assert_accepted(&submit(&user.client, "a.mp4", &film[..5_000]).await, 202);
    for sample in samples::films() {
        if ["video/mp2t", "audio/mpeg", "video/webm", "audio/ogg", "video/x-msvideo"].contains(&sample.content_type) {
            let answer = submit(&user.client, "a", &sample.bytes[..sample.bytes.len() - 5]).await;
            assert_eq!(answer.status, 202, "{}: {}", sample.name, answer.body);
        }
    }
    world.work_off_and_end().await;
}
