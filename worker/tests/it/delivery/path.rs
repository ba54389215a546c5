//! The way of a job when nothing goes wrong, and when it comes twice.

use std::time::Duration;

use bson::{Document, doc};
use messages::Event;
use store::JobState;

use crate::support::Env;

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_ends_at_the_media_host_with_equal_bytes_and_leaves_nothing() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    let upload = env.enqueue(b"a picture").await;

    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.attempt, job.failures, job.attempts.len()), (1, 0, 1));
    let asset = env.asset(upload.asset).await;
    assert_eq!(asset.state, store::AssetState::Ready);
    let stored = asset.stored.expect("what the media host said");
    assert!(stored.url.starts_with(env.media().base_url()), "{}", stored.url);
    assert_eq!((stored.width, stored.height), (Some(1), Some(1)));
    assert_eq!(env.bytes_at_host(&asset.public_id).await, upload.bytes);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_twice_has_one_effect() {
    let env = Env::start().await;
    let _worker = env.worker().await;
    let upload = env.enqueue(b"twice").await;
    env.publish(upload.job).await;
    env.until(upload.job, JobState::Completed).await;
    env.publish(upload.job).await;

    env.until_quiet().await;
    let job = env.job(upload.job).await;
    assert_eq!(job.attempt, 1, "{job:?}");
    assert_eq!(env.media().traffic().upload_requests, 1);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_racing_on_a_job_one_performs_it() {
    let env = Env::start().await;
    let _one = env.worker().await;
    let _other = env.worker().await;
    env.fault("effect=delay,ms=300,action=upload");
    let mut uploads = Vec::new();
    for number in 0..4_u8 {
        let upload = env.submit(&[number]).await;
        for _ in 0..4 {
            env.publish(upload.job).await;
        }
        uploads.push(upload);
    }
    for upload in &uploads {
        let job = env.until(upload.job, JobState::Completed).await;
        assert_eq!(job.attempts.len(), 1, "{job:?}");
    }
    assert_eq!(env.media().traffic().upload_requests, 4);
    assert_eq!(env.media().assets().len(), 4);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_uploads_as_many_files_at_once_as_it_was_told() {
    let env = Env::start().await;
    let _worker = env.worker_with(|config| config.settings.uploads = 3.try_into().ok()).await;
    env.fault("effect=hang,at=before_storing,action=upload,times=3");
    let mut uploads = Vec::new();
    for number in 0..5_u8 {
        let upload = env.enqueue(&[number]).await;
        uploads.push(upload);
    }
    env.until_uploading(3).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(env.media().traffic().upload_requests, 3);
    for upload in &uploads {
        env.until(upload.job, JobState::Completed).await;
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_listens_is_told_what_became_of_an_upload() {
    let env = Env::start().await;
    env.host().listen().await;
    let _worker = env.worker().await;
    let upload = env.enqueue(b"good").await;
    let Event::MediaReady(ready) = env.host().next_event().await else { panic!("not ready") };
    assert_eq!((ready.job, ready.asset, ready.owner), (upload.job, upload.asset, env.owner));
    assert_eq!(Some(ready.url), env.asset(upload.asset).await.stored.map(|stored| stored.url));

    let lost = env.submit(b"bad").await;
    env.spool().remove(lost.file).await.expect("removed");
    env.publish(lost.job).await;
    let Event::MediaFailed(failed) = env.host().next_event().await else { panic!("not failed") };
    assert_eq!((failed.job, Some(failed.reason)), (lost.job, env.job(lost.job).await.reason));
    env.finish().await;
}

/// Jobs of an older version say nothing of what they upload, and neither do redriven ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_say_what_it_uploads_leaves_that_to_its_asset() {
    let env = Env::start().await;
    let upload = env.submit(b"accepted by an older version").await;
    assert!(env.job(upload.job).await.source.is_some());
    let jobs = env.database().collection::<Document>("jobs");
    let forgotten = doc! { "$unset": { "source": "" } };
    assert_eq!(jobs.update_many(doc! {}, forgotten).await.expect("changed").modified_count, 1);
    let _worker = env.worker().await;
    env.publish(upload.job).await;
    env.until(upload.job, JobState::Completed).await;
    let asset = env.asset(upload.asset).await;
    assert_eq!(env.bytes_at_host(&asset.public_id).await, upload.bytes);
    env.finish().await;
}

/// An older version redrives a job and does not know that it says what it uploads.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_uploads_what_the_asset_says_by_then() {
    let env = Env::start().await;
    let upload = env.submit(b"redriven by an older version").await;
    let other = format!("{}-1", env.asset(upload.asset).await.public_id);
    let set = async |collection: &str, change: Document| {
        let documents = env.database().collection::<Document>(collection);
        let changed = documents.update_many(doc! {}, doc! { "$set": change }).await.expect("changed");
        assert_eq!(changed.modified_count, 1);
    };
    set("assets", doc! { "publicId": &other }).await;
    set("jobs", doc! { "attempt": 1_i64 }).await;
    let _worker = env.worker().await;
    env.publish(upload.job).await;
    env.until(upload.job, JobState::Completed).await;
    assert_eq!(env.public_ids(), [other]);
    env.finish().await;
}
