//! Files above the chunk size: one upload over several attempts, and uploads that last.

use std::time::Duration;

use store::{AttemptOutcome, JobState};
use worker::{Config, Running};

use crate::support::{Env, Submitted, until};

/// The smallest that the media host takes.
const CHUNK: usize = 5 * 1024 * 1024;
/// What a request has around its chunk, at most.
const FRAME: u64 = 2048;

async fn worker(env: &Env, change: impl FnOnce(&mut Config)) -> Running {
    env.worker_with(|config| {
        config.cloudinary.chunk_size = CHUNK as u64;
        config.cloudinary.timeout = Duration::from_secs(20);
        change(config);
    })
    .await
}

/// Accepts and publishes an upload of that many chunks, the last of them short.
async fn enqueue(env: &Env, chunks: usize) -> Submitted {
    let content: Vec<u8> = (0..chunks * CHUNK - 1000).map(|at| (at / 1000) as u8).collect();
    env.enqueue(&content).await
}

/// What has arrived of an upload at the media host, in chunks.
fn chunks_arrived(env: &Env, upload: &Submitted) -> f64 {
    let traffic = env.media().traffic_of(&format!("steep/media/{}", upload.asset));
    let bytes = traffic.body_bytes.saturating_sub(traffic.upload_requests * FRAME);
    bytes as f64 / CHUNK as f64
}

async fn assert_stored(env: &Env, upload: &Submitted) {
    let asset = env.asset(upload.asset).await;
    assert!(env.bytes_at_host(&asset.public_id).await == upload.bytes, "the bytes differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_an_upload_goes_on_at_the_chunk_that_failed() {
    let env = Env::start().await;
    env.fault("effect=status,status=500,action=upload,skip=2,times=1");
    let _worker = worker(&env, |_| {}).await;
    let upload = enqueue(&env, 4).await;

    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.attempt, job.failures), (2, 1), "{job:?}");
    assert!(chunks_arrived(&env, &upload) <= 5.0, "{}", chunks_arrived(&env, &upload));
    assert_eq!(env.media().traffic().upload_requests, 5);
    assert_stored(&env, &upload).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_volume_goes_between_two_chunks_goes_on_when_it_is_mounted_again() {
    let env = Env::start().await;
    env.fault("effect=delay,ms=1000,action=upload,times=1");
    let worker = worker(&env, |_| {}).await;
    let upload = enqueue(&env, 3).await;
    let (spool, elsewhere) = (env.folder().join("spool"), env.folder().join("elsewhere"));
    env.until_uploading(1).await;
    until("the first chunk has arrived", async || chunks_arrived(&env, &upload) > 0.99).await;
    std::fs::rename(&spool, &elsewhere).expect("the spool goes");
    until("it fails", async || env.job(upload.job).await.attempts.iter().any(|attempt| attempt.outcome.is_some()))
        .await;
    std::fs::rename(&elsewhere, &spool).expect("the spool is back");

    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!(job.attempts[0].outcome, Some(AttemptOutcome::Operator), "{job:?}");
    assert_eq!(env.media().traffic().upload_requests, 3);
    assert_stored(&env, &upload).await;
    assert!(worker.readiness().ready);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_lost_between_two_chunks_is_told_of_without_its_path() {
    let env = Env::start().await;
    env.fault("effect=delay,ms=1000,action=upload,times=1");
    let _worker = worker(&env, |_| {}).await;
    let upload = enqueue(&env, 3).await;
    until("the first chunk has arrived", async || chunks_arrived(&env, &upload) > 0.99).await;
    assert!(env.spool().remove(upload.file).await.expect("the spool"));

    let job = env.until(upload.job, JobState::Discarded).await;
    let reason = job.reason.expect("a reason");
    assert!(reason.contains("gone from the spool") && !reason.contains('/'), "{reason}");
    assert!(!job.replayable);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_media_host_has_forgotten_begins_anew_once_and_that_is_noted() {
    let env = Env::start().await;
    env.fault("effect=status,status=500,action=upload,skip=2,times=1");
    env.fault("effect=status,status=400,message=No such upload,action=upload,skip=3,times=1");
    let _worker = worker(&env, |_| {}).await;
    let upload = enqueue(&env, 4).await;

    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.attempt, job.failures), (2, 1), "{job:?}");
    assert_eq!(job.upload.map(|upload| upload.position.begun), Some(2));
    assert_eq!(env.media().traffic().upload_requests, 3 + 1 + 4);
    assert_stored(&env, &upload).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_media_host_put_together_wrongly_begins_anew_and_ends_well() {
    let env = Env::start().await;
    env.fault("effect=wrong_bytes,action=upload,skip=1,times=1");
    let _worker = worker(&env, |_| {}).await;
    let upload = enqueue(&env, 3).await;

    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.attempt, job.failures), (2, 1), "{job:?}");
    let said = job.attempts[0].error.as_deref().unwrap_or_default();
    assert!(said.contains("deleted again"), "{said}");
    assert_eq!(job.upload.map(|upload| upload.position.begun), Some(2));
    assert_eq!((env.media().traffic().upload_requests, env.public_ids().len()), (3 + 3, 1));
    assert_stored(&env, &upload).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_lasts_longer_than_one_delivery_may_goes_on_over_several() {
    let env = Env::start().await;
    env.fault("effect=delay,ms=800,action=upload");
    let limit = Duration::from_secs(3);
    let _worker = worker(&env, |config| config.settings.attempt_limit = limit).await;
    let upload = enqueue(&env, 7).await;

    let job = env.until(upload.job, JobState::Completed).await;
    let (last, before) = job.attempts.split_last().expect("attempts");
    assert!(!before.is_empty(), "{job:?}");
    assert!(before.iter().all(|attempt| attempt.outcome == Some(AttemptOutcome::Released)), "{job:?}");
    assert_eq!((last.outcome, job.failures, job.crashes), (Some(AttemptOutcome::Completed), 0, 0));
    // At most the chunk that was under way is sent again.
    let most = (7 + before.len()) as f64;
    assert!(chunks_arrived(&env, &upload) <= most, "{} of {most}", chunks_arrived(&env, &upload));
    let (deliveries, redelivered) = env.delivered().await;
    assert!(deliveries > redelivered, "every attempt had a delivery of its own");
    assert_stored(&env, &upload).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_lasts_many_leases_stays_with_its_worker() {
    let env = Env::start().await;
    env.fault("effect=delay,ms=12000,action=upload");
    let lease = |config: &mut Config| config.settings.lease = Duration::from_secs(3);
    let (_one, _other) = (worker(&env, lease).await, worker(&env, lease).await);
    let upload = env.enqueue(b"slow, and alive").await;

    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.attempt, job.crashes), (1, 0), "{job:?}");
    assert_eq!(env.media().traffic().upload_requests, 1);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_given_back_at_shutdown_goes_on_elsewhere() {
    let env = Env::start().await;
    let hung = env.fault("effect=hang,action=upload,skip=2,times=1");
    let first = worker(&env, |config| config.settings.shutdown_limit = Duration::ZERO).await;
    let upload = enqueue(&env, 4).await;
    until("the third chunk is under way", async || env.struck(hung) == 1).await;
    first.shutdown(std::future::pending()).await;
    let job = env.job(upload.job).await;
    assert_eq!(job.upload.map(|upload| upload.position.acknowledged_bytes), Some(2 * CHUNK as u64));

    let _second = worker(&env, |_| {}).await;
    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.attempt, job.crashes, job.failures), (2, 0, 0), "{job:?}");
    assert_eq!(env.media().traffic().upload_requests, 2 + 1 + 2);
    assert_stored(&env, &upload).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_waited_for_an_earlier_one_of_its_job_is_not_held_any_longer() {
    let env = Env::start().await;
    env.fault("effect=hang,action=upload,times=1");
    // The second message waits for longer than half of this, which is more than it may.
    let _worker = worker(&env, |config| config.settings.attempt_limit = Duration::from_secs(1)).await;
    let upload = env.enqueue(b"told twice").await;
    env.until_uploading(1).await;
    env.publish(upload.job).await;

    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.attempt, job.failures), (2, 1), "{job:?}");
    until("the second message came twice", async || env.delivered().await.1 >= 1).await;
    env.finish().await;
}
