//! A worker that finds a great deal to do.

use std::time::{Duration, Instant};

use broker::Admin;
use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use futures_util::{StreamExt, stream};
use messages::{AssetId, DeleteMedia, Envelope, Job, JobId, Payload, UploadMedia};
use store::JobState;
use testkit::PATIENCE;

use crate::support::{Env, until};

const JOBS: usize = 10_000;
/// How many of them run at once.
const AT_ONCE: u16 = 16;

/// Queued deletions of assets that were ready once, each with its message.
async fn queue_deletions(env: &Env, count: usize) {
    let (mut assets, mut jobs, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    let (owner, now) = (ObjectId::from_bytes(env.owner.bytes()), DateTime::now());
    for _ in 0..count {
        let (asset, job) = (ObjectId::new(), JobId::new());
        assets.push(doc! {
            "_id": asset, "owner": owner, "role": "avatar", "seq": 1_i64, "state": "deleting", "contentType": "image/png",
            "resourceType": "image", "bytes": 1_i64, "md5": "d41d8cd98f00b204e9800998ecf8427e", "originalName": "me.png",
            "publicId": format!("steep/avatar/{asset}"), "job": job.to_string(), "createdAt": now, "updatedAt": now,
            "stored": { "url": "https://res.example.com/a.png", "version": 1_700_000_000_i64, "assetId": "abc" },
        });
        jobs.push(doc! {
            "_id": job.to_string(), "kind": "media.delete.v1", "data": { "asset": asset.to_string() },
            "queue": "media.delete", "owner": owner, "asset": asset, "state": "queued", "attempt": 0_i64,
            "failures": 0_i64, "crashes": 0_i64, "maxAttempts": 150_i64, "runAt": now,
            "dueAt": DateTime::from_millis(now.timestamp_millis() + 600_000), "attempts": [], "replayable": false,
            "createdAt": now, "updatedAt": now,
        });
        messages.push(Envelope::new(
            job,
            Job::DeleteMedia(DeleteMedia { asset: AssetId::from_bytes(asset.bytes()), public_id: None }),
            None,
        ));
    }
    env.database().collection::<Document>("assets").insert_many(assets).await.expect("inserted");
    env.database().collection::<Document>("jobs").insert_many(jobs).await.expect("inserted");
    // The first declares the queue.
    until("the queue is there", async || env.publisher.publish(&messages[0]).await.is_ok()).await;
    let published = stream::iter(&messages[1..]).map(|message| env.publisher.publish(message)).buffer_unordered(500);
    published.for_each(async |result| result.expect("published")).await;
}

async fn count(env: &Env, filter: Document) -> u64 {
    env.database().collection::<Document>("jobs").count_documents(filter).await.expect("the database")
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_queued_jobs_at_the_start_are_done_once_each_and_hold_up_no_upload() {
    let env = Env::start().await;
    queue_deletions(&env, JOBS).await;
    // RabbitMQ's pages learn of it seconds later.
    let admin = Admin::connect(&env.broker()).await.expect("the broker answers");
    assert_eq!(admin.queue_depth(DeleteMedia::QUEUE.name).await.expect("a number"), Some(10_000));
    admin.close().await;

    let begun = Instant::now();
    let worker = env
        .worker_with(|config| {
            config.settings.deletes = AT_ONCE.try_into().ok();
            // A deletion that a busy machine makes wait would be tried again.
            config.cloudinary.timeout = PATIENCE;
        })
        .await;
    let upload = env.enqueue(b"after ten thousand others").await;
    env.until(upload.job, JobState::Completed).await;
    println!("the upload was done after {:?}", begun.elapsed());
    assert!(count(&env, doc! { "state": "queued" }).await > 0, "nothing was left to be held up by");
    until("the worker is ready", async || worker.readiness().ready).await;

    let (mut before, mut progress) = (0, Instant::now());
    loop {
        let running = count(&env, doc! { "state": "running" }).await;
        assert!(running <= u64::from(AT_ONCE), "{running} at once");
        let done = count(&env, doc! { "state": "completed" }).await;
        if done > JOBS as u64 {
            break;
        }
        if done > before {
            (before, progress) = (done, Instant::now());
        }
        assert!(progress.elapsed() < PATIENCE, "stuck at {done} of {JOBS}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("all were done after {:?}", begun.elapsed());
    assert!(worker.readiness().ready);
    let more_than_once = doc! { "$or": [{ "attempt": { "$ne": 1 } }, { "crashes": { "$ne": 0 } }] };
    assert_eq!(count(&env, more_than_once).await, 0);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_copies_of_one_message_cost_few_claims_and_hold_up_no_upload() {
    let env = Env::start().await;
    let first = env.submit(b"told ten thousand times").await;
    let upload = UploadMedia { asset: first.asset, spool: env.spool().id().clone() };
    let message = Envelope::new(first.job, Job::UploadMedia(upload), None);
    until("the queue is there", async || env.publisher.publish(&message).await.is_ok()).await;
    let published = stream::iter(1..JOBS).map(|_| env.publisher.publish(&message)).buffer_unordered(500);
    published.for_each(async |result| result.expect("published")).await;
    env.store().jobs().mark_queued(&[first.job]).await.expect("marked");
    let next = env.enqueue(b"the next one").await;
    env.database()
        .run_command(doc! { "profile": 1, "filter": { "command.findAndModify": "jobs" } })
        .await
        .expect("every claim is noted");

    let begun = Instant::now();
    let _worker = env.worker().await;
    env.until(next.job, JobState::Completed).await;
    println!("the next upload was done after {:?}", begun.elapsed());
    assert_eq!(env.until(first.job, JobState::Completed).await.attempt, 1);
    env.until_quiet().await;
    env.database().run_command(doc! { "profile": 0 }).await.expect("an answer");
    let claims = doc! { "command.findAndModify": "jobs", "command.query._id": first.job.to_string() };
    let claims = env.database().collection::<Document>("system.profile").count_documents(claims).await;
    let claims = claims.expect("an answer");
    println!("{claims} claims");
    assert!((1..100).contains(&claims), "{claims} claims");
    env.finish().await;
}
