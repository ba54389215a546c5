//! Requests that are sent again.

use reqwest::Method;
use testkit::{Answer, Census, Client, FORM_TYPE, PASSWORD, RawForm, Wire, jpeg};

use crate::support::{MEDIA, REGISTER, World, assert_accepted, assert_refused};

async fn send(client: &Client, path: &str, key: &str, form: RawForm) -> Answer {
    let request = client.request(Method::POST, path).header("content-type", FORM_TYPE);
    client.send(request.header("idempotency-key", key).body(form.finished())).await
}

fn picture() -> RawForm {
    RawForm::new().file("file", "a.jpg", &jpeg(2_000))
}

fn registration(name: &str) -> RawForm {
    RawForm::new()
        .text("fullName", "Ada")
        .text("email", &format!("{name}@example.com"))
        .text("username", name)
        .text("password", PASSWORD)
        .file("avatar", "me.jpg", &jpeg(2_000))
}

/// Fails unless the second answer repeats the first and says so.
fn assert_replays(first: &Answer, second: &Answer) {
    assert_eq!(first.header("idempotent-replayed"), "");
    assert_eq!(second.header("idempotent-replayed"), "true", "{}", second.body);
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(second.header("content-type"), first.header("content-type"));
}

#[tokio::test]
async fn a_repeated_submission_gets_the_first_answer_and_does_nothing() {
    let world = World::start().await;
    let member = world.member().await;
    let first = send(&member.client, MEDIA, "\"order-1\"", picture()).await;
    assert_accepted(&first, 202);
    let after = Census { users: 1, assets: 1, jobs: 1, answers: 1, files: 1 };
    world.env.settles_at(after).await;
    // The draft's quotes are not part of the key.
    for key in ["\"order-1\"", "order-1"] {
        assert_replays(&first, &send(&member.client, MEDIA, key, picture()).await);
        world.env.settles_at(after).await;
    }
    send(&member.client, MEDIA, "order-2", picture()).await.expect(202);
    world.env.settles_at(Census { assets: 2, jobs: 2, answers: 2, files: 2, ..after }).await;
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_repetition_is_answered_before_its_body_is_read() {
    let world = World::start().await;
    let member = world.member().await;
    let first = send(&member.client, MEDIA, "order-1", picture()).await.expect(202);
    let mut wire = Wire::open(&member.client).await;
    let headers = [("content-type", FORM_TYPE), ("content-length", "5000000"), ("idempotency-key", "order-1")];
    wire.head("POST", MEDIA, &headers).await;
    assert_replays(&first, &wire.answer().await);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_repeated_registration_gets_the_first_answer_and_no_conflict() {
    let world = World::start().await;
    let first = send(&world.api, REGISTER, "sign-up", registration("ada")).await;
    assert_accepted(&first, 201);
    assert_replays(&first, &send(&world.api, REGISTER, "sign-up", registration("ada")).await);
    // Files first: the same answer, later.
    let form = RawForm::new().file("avatar", "me.jpg", &jpeg(2_000)).text("fullName", "Ada").text("username", "ADA");
    let form = form.text("email", "Ada@example.com").text("password", PASSWORD);
    assert_replays(&first, &send(&world.api, REGISTER, "sign-up", form).await);
    world.env.settles_at(Census { users: 1, assets: 1, jobs: 1, answers: 1, files: 1 }).await;

    let other = send(&world.api, REGISTER, "another", registration("ada")).await;
    assert_refused(&other, 409, &["username"]);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn twins_that_arrive_together_are_one_upload() {
    let world = World::start().await;
    let member = world.member().await;
    let mut twins = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = member.client.clone();
        twins.spawn(async move { send(&client, MEDIA, "order-1", picture()).await });
    }
    assert_one_answer(&twins.join_all().await, 202);
    world.env.settles_at(Census { users: 1, assets: 1, jobs: 1, answers: 1, files: 1 }).await;
    world.work_off_and_end().await;
}

#[tokio::test]
async fn registrations_that_are_twins_are_one_user() {
    let world = World::start().await;
    for round in 0..4 {
        let mut twins = tokio::task::JoinSet::new();
        for number in 0..6_u64 {
            let client = world.api.client().clone();
            twins.spawn(async move {
                // Apart by as little as it takes for one to finish while another looks.
                tokio::time::sleep(std::time::Duration::from_millis(number * 15)).await;
                send(&client, REGISTER, "sign-up", registration(&format!("ada{round}"))).await
            });
        }
        assert_one_answer(&twins.join_all().await, 201);
    }
    world.env.settles_at(Census { users: 4, assets: 4, jobs: 4, answers: 4, files: 4 }).await;
    world.work_off_and_end().await;
}

fn assert_one_answer(answers: &[Answer], status: u16) {
    let first: Vec<&Answer> = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_empty()).collect();
    assert_eq!(first.len(), 1, "{answers:?}");
    assert_accepted(first[0], status);
    for answer in answers.iter().filter(|answer| !answer.header("idempotent-replayed").is_empty()) {
        assert_replays(first[0], answer);
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_422_and_leaves_nothing() {
    let world = World::start().await;
    let member = world.member().await;
    let before = world.env.census().await;
    for key in ["", "\"\"", " ", &"x".repeat(256), "\u{e4}"] {
        for (path, form) in [(MEDIA, picture()), (REGISTER, registration("ada"))] {
            let answer = send(&member.client, path, key, form).await;
            assert_eq!(answer.status, 422, "{path} {key:?}");
            world.refused(before, &answer, 422, &["Idempotency-Key"]).await;
        }
    }
    world.end().await;
}

#[tokio::test]
async fn two_users_may_choose_the_same_key() {
    let world = World::start().await;
    let (member, stranger) = (world.member().await, world.member().await);
    let mine = send(&member.client, MEDIA, "1", picture()).await.expect(202);
    let theirs = send(&stranger.client, MEDIA, "1", picture()).await.expect(202);
    assert_ne!(mine.data()["_id"], theirs.data()["_id"]);
    let ada = send(&world.api, REGISTER, "1", registration("ada")).await.expect(201);
    let eve = send(&world.api, REGISTER, "1", registration("eve")).await.expect(201);
    assert_ne!(ada.data()["_id"], eve.data()["_id"]);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_refusal_is_not_remembered() {
    let world = World::start().await;
    let member = world.member().await;
    let nonsense = RawForm::new().file("file", "a.jpg", b"nonsense");
    assert_refused(&send(&member.client, MEDIA, "1", nonsense).await, 415, &["file"]);
    assert_accepted(&send(&member.client, MEDIA, "1", picture()).await, 202);
    world.work_off_and_end().await;
}
