//! What pictures tell about themselves.

use bytes::Bytes;
use reqwest::Method;
use testkit::Upload;
use testkit::samples::{self, POSITION, Sample};

use crate::support::{AVATAR, COVER_IMAGE, REGISTER, World, assert_accepted, registration, submit};

async fn bytes_at(address: &str) -> Bytes {
    let shown = reqwest::get(address).await.expect("an answer");
    assert_eq!(shown.status(), 200, "{address}");
    shown.bytes().await.expect("a picture")
}

fn tells_position(picture: &[u8]) -> bool {
    picture.windows(POSITION.len()).any(|window| window == POSITION)
}

#[tokio::test]
async fn where_a_photo_was_taken_reaches_no_address_of_an_avatar_or_a_cover() {
    let world = World::start().await;
    let user = world.member().await;
    let worker = world.env.worker().await;
    for Sample { name, bytes, .. } in samples::with_position() {
        assert!(tells_position(&bytes), "{name}");
        for (path, field) in [(AVATAR, "avatar"), (COVER_IMAGE, "coverImage")] {
            let form = Upload::new().file(field, "me.jpg", bytes.clone().into());
            let answer = user.client.upload(Method::PATCH, path, &form).await;
            assert_accepted(&answer, 202);
            let first = bytes_at(answer.data()[field].as_str().expect("an address")).await;
            assert!(!tells_position(&first), "{name}, {field}");
            // The media host has what was kept, by its length and its MD5.
            user.client.wait_for_job(&answer.job(0), &["completed"]).await;
            let public = user.client.current_user().await[field].as_str().expect("an address").to_owned();
            assert!(public.contains("/image/upload/"), "{public}");
            assert_eq!(bytes_at(&public).await, first, "{name}, {field}");
        }
    }
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn it_reaches_none_of_those_that_came_with_a_registration_either() {
    let world = World::start().await;
    let photo = samples::with_position().remove(0);
    let form = registration("ada").file("avatar", "a.jpg", photo.bytes.clone().into());
    let form = form.file("coverImage", "c.jpg", photo.bytes.into());
    let answer = world.api.upload(Method::POST, REGISTER, &form).await;
    assert_accepted(&answer, 201);
    for field in ["avatar", "coverImage"] {
        let shown = bytes_at(answer.data()[field].as_str().expect("an address")).await;
        assert!(!tells_position(&shown), "{field}");
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn where_a_setting_says_so_an_avatar_stays_as_it_is() {
    let world = World::with(&["--keep-metadata=true"]).await;
    let user = world.member().await;
    for Sample { name, bytes, .. } in samples::with_position() {
        let answer = user.client.replace_avatar(bytes.clone().into()).await.expect(202);
        assert_eq!(bytes_at(answer.data()["avatar"].as_str().expect("an address")).await, bytes, "{name}");
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn an_upload_that_is_nobodys_image_stays_as_it_is() {
    let world = World::start().await;
    let user = world.member().await;
    for Sample { name, bytes, .. } in samples::with_position() {
        let answer = submit(&user.client, "a.jpg", &bytes).await.expect(202);
        assert_eq!(bytes_at(answer.data()["url"].as_str().expect("an address")).await, bytes, "{name}");
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_photo_whose_metadata_cannot_be_left_out_is_422_with_what_to_do() {
    let world = World::start().await;
    let user = world.member().await;
    let before = world.env.census().await;
    let file = samples::heif(b"heic", &[], 8, 8);
    let at = |kind: &[u8]| file.windows(4).position(|window| window == kind).expect("a box") - 4;
    let (meta, data) = (at(b"meta"), at(b"mdat"));
    let data_first: Bytes = [&file[..meta], &file[data..], &file[meta..data]].concat().into();
    let answer = user.client.replace_avatar(data_first.clone()).await;
    world.refused(before, &answer, 422, &["avatar"]).await;
    assert!(answer.body["message"].as_str().is_some_and(|message| message.contains("metadata")), "{}", answer.body);
    assert_accepted(&submit(&user.client, "a.heic", &data_first).await, 202);
    world.work_off_and_end().await;
}
