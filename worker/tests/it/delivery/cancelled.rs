//! An owner cancels an upload while the worker is at it, or before it is again. As an api that serves another spool would: nobody but the
//! worker removes the file.

use std::time::{Duration, Instant};

use messages::JobId;
use store::{AssetState, AttemptOutcome, Cancel, Cancelled, JobState, Role};
use worker::Config;

use crate::support::{Env, Submitted, until};

/// The smallest chunk that the media host takes.
const CHUNK: usize = 5 * 1024 * 1024;
/// How soon after a cancellation its transfer ends.
const SOON: Duration = Duration::from_secs(1);

/// A world whose relay publishes what an api would have published.
async fn start() -> Env {
    Env::start_with(|store| store.publish_grace = Duration::from_millis(50)).await
}

/// By its lease alone an attempt would learn of a cancellation after half a minute.
fn with_a_long_lease(config: &mut Config) {
    config.settings.lease = Duration::from_secs(300);
    config.cloudinary.timeout = Duration::from_secs(60);
}

async fn cancel(env: &Env, job: JobId) -> Cancelled {
    match env.store().media().cancel(env.owner, job).await.expect("an answer") {
        Cancel::Done(cancelled) => *cancelled,
        Cancel::Refused(refusal) => panic!("{refusal:?}"),
    }
}

/// Waits until the attempt has ended, and says how long that took.
async fn until_stopped(env: &Env, upload: &Submitted) -> Duration {
    let begun = Instant::now();
    // The last thing that an attempt does which was fenced.
    until("its file goes", async || !env.spool().path(upload.file).exists()).await;
    begun.elapsed()
}

async fn until_deleted(env: &Env, upload: &Submitted) {
    until("its deletions have ended", async || {
        env.store().jobs().queue_ages().await.is_ok_and(|unfinished| unfinished.is_empty())
    })
    .await;
    assert_eq!(env.asset(upload.asset).await.state, AssetState::Failed);
    assert!(env.public_ids().iter().all(|name| !name.contains(&upload.asset.to_string())), "{:?}", env.public_ids());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_hangs_is_stopped_within_a_second_of_its_cancellation() {
    let env = start().await;
    let _worker = env.worker_with(with_a_long_lease).await;
    let hung = env.fault("effect=hang,action=upload");
    let mut took = Vec::new();
    for number in 0..3_u8 {
        let upload = env.enqueue(&[number]).await;
        until("it hangs", async || env.struck(hung) == u64::from(number) + 1).await;
        let cancelled = cancel(&env, upload.job).await;
        assert_eq!((cancelled.job.state, cancelled.outcome.files), (JobState::Cancelled, vec![upload.file]));
        took.push(until_stopped(&env, &upload).await);
        let job = env.job(upload.job).await;
        assert_eq!((job.attempts[0].outcome, job.crashes), (Some(AttemptOutcome::Cancelled), 0), "{job:?}");
        until_deleted(&env, &upload).await;
    }
    took.sort();
    println!("stopped after {took:?}");
    // A machine that is busy with other tests may be late once.
    assert!(took[1] <= SOON, "{took:?}");
    assert_eq!(env.media().traffic().upload_requests, 3, "nobody tries it again");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_large_upload_that_is_cancelled_no_more_is_sent() {
    const CHUNKS: usize = 10;
    let env = start().await;
    let _worker = env
        .worker_with(|config| {
            with_a_long_lease(config);
            config.cloudinary.chunk_size = CHUNK as u64;
        })
        .await;
    env.fault("effect=slow_read,action=upload,bytes_per_second=4000000");
    let content: Vec<u8> = (0..CHUNKS * CHUNK - 1000).map(|at| (at / 1000) as u8).collect();
    let upload = env.enqueue(&content).await;
    until("a chunk is acknowledged", async || env.job(upload.job).await.upload.is_some()).await;
    let acknowledged = cancel(&env, upload.job).await.job.upload.expect("progress").position.acknowledged_bytes;
    println!("stopped after {:?}", until_stopped(&env, &upload).await);
    until_deleted(&env, &upload).await;

    // What was on its way by then arrives, and no chunk after it.
    let arrived = env.media().traffic_of(&format!("steep/media/{}", upload.asset)).body_bytes;
    println!("{arrived} bytes arrived; {acknowledged} were acknowledged");
    assert!(arrived <= acknowledged + 3 * CHUNK as u64, "{arrived} bytes");
    assert_eq!(env.job(upload.job).await.attempts.len(), 1);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_avatar_that_is_stored_while_it_is_cancelled_is_deleted_and_the_one_before_stays() {
    let env = start().await;
    let _worker = env.worker_with(with_a_long_lease).await;
    let first = env.replace(Role::Avatar, b"first").await;
    env.until(first.job, JobState::Completed).await;
    let shown = env.user().await.avatar;
    let stored = env.fault("effect=hang,at=after_storing,action=upload,times=1");
    let second = env.replace(Role::Avatar, b"second").await;
    until("it is stored", async || env.struck(stored) == 1 && env.public_ids().len() == 2).await;

    cancel(&env, second.job).await;
    assert_eq!(env.user().await.avatar, shown);
    until_stopped(&env, &second).await;
    until_deleted(&env, &second).await;
    assert_eq!(env.public_ids(), [env.asset(first.asset).await.public_id]);
    assert_eq!(env.user().await.avatar, shown);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cancelled_between_two_attempts_is_not_tried_again_and_leaves_nothing() {
    let env = start().await;
    let _worker = env.worker().await;
    // Stored, and nobody is told.
    env.fault("effect=status,status=500,retry_after=3600,at=after_storing,action=upload,times=1");
    let upload = env.enqueue(b"once").await;
    env.until(upload.job, JobState::Retryable).await;
    assert_eq!(env.public_ids().len(), 1);
    let cancelled = cancel(&env, upload.job).await;
    assert_eq!(cancelled.outcome.files, [upload.file]);
    // As the api does.
    assert!(env.spool().remove(upload.file).await.expect("the spool"));
    until_deleted(&env, &upload).await;
    assert_eq!((env.job(upload.job).await.attempt, env.media().traffic().upload_requests), (1, 1));
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_file_goes_under_it_when_it_is_cancelled_ends_as_cancelled() {
    let env = start().await;
    // It learns of it by its file, its progress or the watch, whichever is first.
    env.fault("effect=delay,ms=100,action=upload,times=1");
    let _worker = env
        .worker_with(|config| {
            with_a_long_lease(config);
            config.cloudinary.chunk_size = CHUNK as u64;
        })
        .await;
    let upload = env.enqueue(&vec![7; 2 * CHUNK]).await;
    env.until_uploading(1).await;
    let cancelled = cancel(&env, upload.job).await;
    env.spool().remove(upload.file).await.expect("the spool");
    until_deleted(&env, &upload).await;
    env.until_quiet().await;
    assert_eq!(env.job(upload.job).await, cancelled.job);
    env.finish().await;
}
