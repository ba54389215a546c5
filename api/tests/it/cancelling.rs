//! `DELETE /api/v1/jobs/:id`.

use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Answer, Client, TestEnv, jpeg, mp4};
use tokio::task::JoinSet;

use crate::support::{MEDIA, World, assert_accepted, assert_refused, submit};

async fn cancel(client: &Client, job: &str) -> Answer {
    client.send(client.request(Method::DELETE, &format!("/api/v1/jobs/{job}"))).await
}

fn assert_conflict(answer: &Answer, kind: &str, said: &str) {
    assert_refused(answer, 409, &[]);
    assert_eq!(answer.body["type"], format!("urn:steep:problem:{kind}"));
    assert!(answer.body["detail"].as_str().is_some_and(|detail| detail.contains(said)), "{}", answer.body);
}

#[tokio::test]
async fn an_avatar_that_waits_is_cancelled_and_the_one_before_is_shown_again() {
    let world = World::start().await;
    let member = world.member().await;
    let worker = world.env.worker().await;
    let first = member.client.replace_avatar(jpeg(2_000)).await.expect(202);
    member.client.wait_for_job(&first.job(0), &["completed"]).await;
    worker.shutdown(std::future::pending()).await;
    let before = member.client.current_user().await;
    let second = member.client.replace_avatar(jpeg(3_000)).await.expect(202);
    let address = second.data()["avatar"].as_str().expect("an address").to_owned();
    assert_ne!(second.data()["avatar"], before["avatar"]);

    let answer = cancel(&member.client, &second.job(0)).await;
    assert_accepted(&answer, 200);
    let job = answer.data();
    assert_eq!((&job["id"], &job["state"]), (&json!(second.job(0)), &json!("cancelled")));
    assert_eq!((&job["reason"], &job["attempt"]), (&json!("cancelled by its owner"), &json!(0)));
    assert!(job["finishedAt"].is_string() && job["runAt"].is_null(), "{job}");
    let processing = json!({"state": "failed", "reason": "cancelled by its owner", "code": "cancelled"});
    assert_eq!(job["processing"], processing);
    let shown = member.client.get(&format!("/api/v1/jobs/{}", second.job(0))).await.expect(200);
    assert_eq!(shown.data(), job, "what was answered is what is stored");

    let user = member.client.current_user().await;
    assert_eq!((&user["avatar"], &user["processing"]), (&before["avatar"], &before["processing"]));
    assert_eq!(reqwest::get(&address).await.expect("an answer").status(), 404);
    TestEnv::until("its file goes", async || world.env.spooled_files() == 0).await;
    assert_conflict(&cancel(&member.client, &second.job(0)).await, "job-ended", "the job is cancelled");
    world.work_off_and_end().await;
}

#[tokio::test]
async fn an_upload_that_was_cancelled_stays_in_the_list_without_an_address() {
    let world = World::start().await;
    let member = world.member().await;
    let upload = submit(&member.client, "film.mp4", &mp4(3_000)).await.expect(202);
    assert_accepted(&cancel(&member.client, &upload.job(0)).await, 200);
    let listed = member.client.get(MEDIA).await.expect(200);
    let asset = &listed.data()["docs"][0];
    assert_eq!((&asset["_id"], &asset["url"]), (&upload.data()["_id"], &json!("")));
    assert_eq!(asset["processing"]["code"], "cancelled");
    world.work_off_and_end().await;
}

#[tokio::test]
async fn only_its_owner_cancels_an_upload_and_what_is_none_is_not_cancelled() {
    let world = World::start().await;
    let (member, stranger) = (world.member().await, world.member().await);
    let upload = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    let before = world.env.census().await;
    world.refused(before, &cancel(&stranger.client, &upload).await, 404, &[]).await;
    world.refused(before, &cancel(&member.client, "019389a0-0000-7000-8000-000000000002").await, 404, &[]).await;
    world.refused(before, &cancel(&member.client, "first").await, 422, &["id"]).await;
    world.refused(before, &cancel(&world.api, &upload).await, 401, &[]).await;
    let asked = member.client.get(&format!("/api/v1/jobs/{upload}")).await.expect(200);
    assert_ne!(asked.data()["state"], "cancelled");

    // What is replaced is deleted, by a job that is the member's too.
    let worker = world.env.worker().await;
    member.client.wait_for_job(&upload, &["completed"]).await;
    assert_conflict(&cancel(&member.client, &upload).await, "job-ended", "the job is completed");
    for _ in 0..2 {
        let avatar = member.client.replace_avatar(jpeg(2_000)).await.expect(202).job(0);
        member.client.wait_for_job(&avatar, &["completed"]).await;
    }
    let jobs = world.env.database().collection::<Document>("jobs");
    let deletion = jobs.find_one(doc! { "kind": "media.delete.v1" }).await.expect("an answer").expect("a deletion");
    let deletion = deletion.get_str("_id").expect("an id");
    assert_conflict(&cancel(&member.client, deletion).await, "not-cancellable", "only uploads");
    world.refused(world.env.census().await, &cancel(&stranger.client, deletion).await, 404, &[]).await;
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn of_many_cancellations_at_once_one_is_accepted() {
    let world = World::start().await;
    let member = world.member().await;
    let job = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    let mut racers = JoinSet::new();
    for _ in 0..6 {
        let (client, job) = (member.client.clone(), job.clone());
        racers.spawn(async move { cancel(&client, &job).await });
    }
    let (accepted, refused): (Vec<Answer>, Vec<Answer>) =
        racers.join_all().await.into_iter().partition(|answer| answer.status.is_success());
    assert_eq!(accepted.len(), 1);
    for answer in &refused {
        assert_conflict(answer, "job-ended", "the job is cancelled");
    }
    TestEnv::until("its file goes", async || world.env.spooled_files() == 0).await;
    world.work_off_and_end().await;
}

/// Of a hundred unfinished uploads each is one; one that was cancelled is none.
#[tokio::test]
async fn a_cancelled_upload_makes_room_for_another() {
    let world = World::with(&["--user-max-unfinished=1"]).await;
    let member = world.member().await;
    let job = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    submit(&member.client, "b.jpg", &jpeg(2_000)).await.expect(429);
    assert_accepted(&cancel(&member.client, &job).await, 200);
    let next = submit(&member.client, "b.jpg", &jpeg(2_000)).await.expect(202);
    assert_ne!(next.data()["jobs"][0]["id"], Value::from(job));
    world.work_off_and_end().await;
}
