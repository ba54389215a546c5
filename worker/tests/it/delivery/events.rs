//! Events reach whoever listens at least once, and are known by their ids.

use std::time::Duration;

use bson::{DateTime, Document, doc};
use messages::{EventId, JobId};
use store::JobState;

use crate::support::{Env, until};

async fn unpublished(env: &Env) -> u64 {
    let events = env.database().collection::<Document>("events");
    events.count_documents(doc! { "dueAt": { "$exists": true } }).await.expect("an answer")
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
    let events = env.database().collection::<Document>("events");
    let lost = doc! { "$set": { "dueAt": DateTime::from_millis(0) } };
    assert_eq!(events.update_many(doc! {}, lost).await.expect("an answer").modified_count, 1);
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
