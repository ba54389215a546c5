//! Replacing avatar and cover image.

use reqwest::Method;
use serde_json::Value;
use testkit::{Upload, jpeg};

use crate::support::{AVATAR, COVER_IMAGE, CURRENT_USER, World, assert_accepted};

#[tokio::test]
async fn a_replaced_image_answers_with_the_whole_user_and_the_job() {
    let world = World::with(&["--public-url=https://api.example.com/base/"]).await;
    let member = world.member().await;
    for (path, field) in [(AVATAR, "avatar"), (COVER_IMAGE, "coverImage")] {
        let form = Upload::new().file(field, "new.jpg", jpeg(3_000));
        let answer = member.client.upload(Method::PATCH, path, &form).await;
        assert_accepted(&answer, 202);
        let user = answer.data();
        assert_eq!(user["_id"], member.id.to_string());
        for name in ["username", "email", "fullName", "watchHistory", "createdAt", "updatedAt"] {
            assert_ne!(user[name], Value::Null, "{name}");
        }
        let url = user[field].as_str().unwrap_or_default();
        assert!(url.starts_with("https://api.example.com/base/api/v1/media/") && url.ends_with(".jpg"), "{url}");
        let jobs = user["jobs"].as_array().expect("jobs");
        assert_eq!((jobs.len(), &jobs[0]["kind"]), (1, &Value::from("media.upload.v1")));
        let job = jobs[0]["id"].as_str().unwrap_or_default();
        assert_eq!(jobs[0]["url"], format!("https://api.example.com/base/api/v1/jobs/{job}"));
        assert_eq!(answer.header("location"), jobs[0]["url"].as_str().unwrap_or_default());

        let current = member.client.get(CURRENT_USER).await;
        assert_eq!(current.data()[field], url, "what was answered is what is stored");
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn an_image_that_nobody_chose_is_an_empty_string_and_never_null() {
    let world = World::start().await;
    let member = world.member().await;
    let answer = member.client.replace_avatar(jpeg(2_000)).await.expect(202);
    assert_eq!(answer.data()["coverImage"], "");
    let (user, registered) = world.api.new_user(jpeg(2_000)).await;
    assert_eq!(registered.data()["coverImage"], "");
    assert_eq!(user.current_user().await["coverImage"], "");
    world.work_off_and_end().await;
}

#[tokio::test]
async fn the_address_in_the_answer_works_at_once_and_a_newer_image_takes_its_place() {
    let world = World::start().await;
    let member = world.member().await;
    let mut addresses = Vec::new();
    for size in [2_000, 3_000, 4_000] {
        let picture = jpeg(size);
        let answer = member.client.replace_avatar(picture.clone()).await.expect(202);
        let address = answer.data()["avatar"].as_str().expect("an address").to_owned();
        let shown = reqwest::get(&address).await.expect("an answer");
        assert_eq!((shown.status().as_u16(), shown.bytes().await.expect("a picture")), (200, picture));
        addresses.push(address);
    }
    // No worker took the older ones, so nothing needs their files.
    let newest = addresses.pop().expect("three of them");
    for older in addresses {
        assert_eq!(reqwest::get(&older).await.expect("an answer").status(), 404);
    }
    testkit::TestEnv::until("one file is left", || async { world.env.spooled_files() == 1 }).await;
    assert_eq!(member.client.current_user().await["avatar"], newest);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn images_that_arrive_at_the_same_time_leave_one_and_no_file_of_the_others() {
    let world = World::start().await;
    let member = world.member().await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = member.client.clone();
        racers.spawn(async move { client.replace_avatar(jpeg(20_000)).await });
    }
    let answers = racers.join_all().await;
    let current = member.client.current_user().await["avatar"].clone();
    for answer in &answers {
        assert_accepted(answer, 202);
    }
    assert_eq!(answers.iter().filter(|answer| answer.data()["avatar"] == current).count(), 1);
    testkit::TestEnv::until("one file is left", || async { world.env.spooled_files() == 1 }).await;
    world.work_off_and_end().await;
}
