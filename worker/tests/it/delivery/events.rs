//! Events reach whoever listens at least once, and are known by their ids.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bson::{DateTime, Document, doc};
use messages::{EventId, JobId};
use store::JobState;
use testkit::proxy::Proxy;
use testkit::{PATIENCE, Services};

use crate::support::{Env, address, broker, until};

async fn unpublished(env: &Env) -> u64 {
    let events = env.database().collection::<Document>("events");
    events.count_documents(doc! { "dueAt": { "$exists": true } }).await.expect("an answer")
}

/// Lets a relay publish all events. Says how many there are.
async fn make_due(env: &Env) -> u64 {
    let events = env.database().collection::<Document>("events");
    let due = doc! { "$set": { "dueAt": DateTime::from_millis(0) } };
    events.update_many(doc! {}, due).await.expect("an answer").modified_count
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_twice_has_the_same_id() {
    let env = Env::start().await;
    env.host().listen().await;
    let _worker = env.worker().await;
    env.enqueue(b"good").await;
    let first = env.host().next_message().await;
    until("it is noted as published", async || unpublished(&env).await == 0).await;

    // The note was lost.
    assert_eq!(make_due(&env).await, 1);
    let second = env.host().next_message().await;
    assert_eq!(second, first);
    until("it is noted again", async || unpublished(&env).await == 0).await;
    env.finish().await;
}

/// Nobody waits for an event but whoever stops the worker.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_publishes_what_has_happened_and_notes_it() {
    let env = Env::start().await;
    env.host().listen().await;
    let worker = env.worker().await;
    let mut uploads = Vec::new();
    for number in 0..20_u8 {
        uploads.push(env.enqueue(&[number]).await);
    }
    for upload in &uploads {
        env.until(upload.job, JobState::Completed).await;
    }
    worker.shutdown(std::future::pending()).await;
    assert_eq!(unpublished(&env).await, 0);
    for _ in &uploads {
        env.host().next_event().await;
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_whose_confirms_hang_hold_up_no_job_and_no_end_of_a_worker_and_are_published_later() {
    let env = Env::start().await;
    env.host().listen().await;
    let rabbit = Proxy::start(address(&Services::from_env().rabbitmq)).await.expect("a port");
    let worker = env
        .worker_with(|config| {
            // The broker would close a connection of which it hears nothing.
            let host = format!("{}?heartbeat=300", env.name());
            config.broker = broker(&format!("amqp://guest:guest@{}", rabbit.address), &host);
            config.broker.publish_timeout = PATIENCE * 2;
        })
        .await;
    rabbit.hold(b"media.ready.v1");
    let mut uploads = Vec::new();
    // More than are published at once.
    for number in 0..40_u8 {
        uploads.push(env.enqueue(&[number]).await);
    }
    for upload in &uploads {
        assert_eq!(env.until(upload.job, JobState::Completed).await.attempt, 1);
    }
    // Acknowledged.
    env.until_quiet().await;
    assert_eq!((rabbit.held(), unpublished(&env).await), (1, 40));

    let begun = Instant::now();
    worker.shutdown(std::future::pending()).await;
    println!("ended after {:?}", begun.elapsed());
    assert!(begun.elapsed() < worker::Settings::default().shutdown_limit, "{:?}", begun.elapsed());
    assert_eq!(unpublished(&env).await, 40, "nobody has confirmed them");

    // What is held never arrives.
    rabbit.cut();
    let _other = env.worker().await;
    assert_eq!(make_due(&env).await, 40);
    let mut events = HashSet::new();
    for _ in &uploads {
        assert!(events.insert(env.host().next_message().await.id), "each comes once");
    }
    until("they are noted as published", async || unpublished(&env).await == 0).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_worker_that_died_is_published_by_another() {
    let env = Env::start_with(|store| store.publish_grace = Duration::from_millis(50)).await;
    env.host().listen().await;
    // As a worker leaves it that dies right after the commit.
    let id = EventId::new();
    let event = doc! {
        "_id": id.to_string(),
        "kind": "media.deleted.v1",
        "data": { "job": JobId::new().to_string(), "asset": "65a1b2c3d4e5f60718293a4b" },
        "createdAt": DateTime::now(),
        "dueAt": DateTime::now(),
    };
    env.database().collection::<Document>("events").insert_one(event).await.expect("written");
    let _worker = env.worker().await;
    assert_eq!(env.host().next_message().await.id, id);
    until("it is noted as published", async || unpublished(&env).await == 0).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_cannot_be_recorded_is_neither_lost_nor_a_crash() {
    let env = Env::start().await;
    let refuse = |validator: Document| env.database().run_command(doc! { "collMod": "jobs", "validator": validator });
    let fault = env.fault("effect=status,status=503,action=upload,times=1");
    let upload = env.submit(b"picture").await;
    refuse(doc! { "state": { "$ne": "retryable" } }).await.expect("modified");
    let _worker = env.worker_with(|config| config.settings.lease = Duration::from_secs(1)).await;
    env.publish(upload.job).await;
    env.until(upload.job, JobState::Running).await;
    until("the attempt has failed", async || env.struck(fault) == 1).await;
    let held = async || env.job(upload.job).await.lease_until.expect("a lease");
    let lease = held().await;
    // Another one after it has begun.
    until("it is held for longer than its lease", async || held().await > lease + Duration::from_secs(1)).await;
    let job = env.job(upload.job).await;
    assert_eq!((job.state, job.attempt, job.crashes), (JobState::Running, 1, 0), "{job:?}");
    refuse(doc! {}).await.expect("modified");
    env.until(upload.job, JobState::Completed).await;
    assert_eq!(env.job(upload.job).await.crashes, 0);
    env.finish().await;
}
