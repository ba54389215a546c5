//! A broker or a spool that is not there.

use reqwest::Method;
use testkit::{Census, TestEnv, jpeg};

use crate::support::{REGISTER, World, assert_accepted, registration, submit};

#[tokio::test]
async fn a_spool_that_was_taken_away_is_500_without_its_address_and_leaves_nothing() {
    let world = World::start().await;
    let (area, elsewhere) = (world.env.folder().join("spool/incoming"), world.env.folder().join("elsewhere"));
    let form = registration("ada").file("avatar", "me.jpg", jpeg(2_000));
    std::fs::rename(&area, &elsewhere).expect("it moves");
    let answer = world.api.upload(Method::POST, REGISTER, &form).await;
    std::fs::rename(&elsewhere, &area).expect("it moves back");
    world.refused(Census::default(), &answer, 500, &[]).await;
    assert!(!answer.body.to_string().contains("incoming"), "{}", answer.body);
    assert_accepted(&world.api.upload(Method::POST, REGISTER, &form).await, 201);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn uploads_are_accepted_without_a_broker_and_finished_by_a_relay_that_has_one() {
    let world = World::with(&["--rabbitmq-url=amqp://guest:guest@127.0.0.1:1/nowhere"]).await;
    let (user, answer) = world.api.new_user(jpeg(2_000)).await;
    let member = world.member().await;
    let mut jobs = vec![];
    for _ in 0..5 {
        jobs.push(submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0));
    }
    let ready = world.api.get("/readyz").await.expect(200);
    assert_eq!(ready.body["dependencies"]["rabbitmq"]["state"], "down", "{}", ready.body);
    assert!(ready.body["dependencies"]["rabbitmq"]["detail"].is_string(), "{}", ready.body);
    user.wait_for_job(&answer.job(0), &["pending"]).await;
    for job in &jobs {
        member.client.wait_for_job(job, &["pending"]).await;
    }

    let worker = world.env.worker().await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    for job in &jobs {
        member.client.wait_for_job(job, &["completed"]).await;
    }
    assert_eq!(world.env.media().assets().len(), 6);
    world.end().await;
    drop(worker);
}

#[tokio::test]
async fn a_connection_that_the_broker_closes_is_made_again() {
    let world = World::start().await;
    let member = world.member().await;
    TestEnv::until("the api is connected", || async {
        world.api.get("/readyz").await.body["dependencies"]["rabbitmq"]["state"] == "up"
    })
    .await;
    // RabbitMQ's management learns of a connection some seconds after it was made.
    TestEnv::until("the broker has closed one", || async { world.env.host().close_connections().await > 0 }).await;
    let job = submit(&member.client, "a.jpg", &jpeg(2_000)).await.expect(202).job(0);
    TestEnv::until("the api is connected again", || async {
        world.api.get("/readyz").await.body["dependencies"]["rabbitmq"]["state"] == "up"
    })
    .await;
    let worker = world.env.worker().await;
    member.client.wait_for_job(&job, &["completed"]).await;
    world.end().await;
    drop(worker);
}
