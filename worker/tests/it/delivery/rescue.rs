//! Jobs whose worker, message or broker is lost.

use std::time::{Duration, Instant};

use store::{AttemptOutcome, JobState, Rescue};
use testkit::PATIENCE;

use crate::support::{Env, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_nobody_published_is_published_by_the_relay() {
    let env = Env::start_with(|store| store.publish_grace = Duration::from_millis(50)).await;
    let _worker = env.worker().await;
    let upload = env.submit(b"not published").await;
    env.until(upload.job, JobState::Completed).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_message_the_broker_lost_is_published_again() {
    let env = Env::start_with(|store| store.queued_check = Duration::from_millis(200)).await;
    let upload = env.enqueue(b"lost").await;
    env.purge().await;
    let _worker = env.worker().await;
    env.until(upload.job, JobState::Completed).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_in_the_middle_is_replaced_at_once() {
    // The second time the survivor's connection is young, so it also waits for a renewal that does not come.
    for settles_within in [Duration::ZERO, Duration::from_secs(600)] {
        a_dead_worker_is_replaced(settles_within).await;
    }
}

async fn a_dead_worker_is_replaced(settles_within: Duration) {
    let env = Env::start().await;
    // However long the other takes to start, it dies while it waits for the media host.
    let dying = env.worker_with(|config| config.cloudinary.timeout = PATIENCE).await;
    let hung = env.fault("effect=hang,action=upload");
    let upload = env.enqueue(b"half way").await;
    until("the upload hangs", async || env.struck(hung) == 1).await;
    env.media().clear_fault(hung);
    let other = env.worker_with(|config| config.settings.broker_settles_within = settles_within).await;
    until("the other is ready", async || other.readiness().ready).await;

    let died = Instant::now();
    drop(dying);
    let job = env.until(upload.job, JobState::Completed).await;
    println!("rescued after {:?}", died.elapsed());
    // Its lease would still run.
    assert!(died.elapsed() < env.config().settings.lease / 2, "{:?}", died.elapsed());
    assert_eq!((job.attempt, job.crashes), (2, 1), "{job:?}");
    assert_eq!(job.attempts[0].outcome, Some(AttemptOutcome::Crashed));
    assert_eq!(env.media().assets().len(), 1);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_its_worker_abandoned_is_rescued_when_the_lease_runs_out() {
    let env = Env::start().await;
    let upload = env.submit(b"abandoned").await;
    // A worker that claims, acknowledges by mistake, and is never seen again.
    env.claim_as(upload.job, "gone", Duration::from_millis(500), &Rescue::LeaseExpired).await;
    let _worker = env.worker().await;
    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.attempt, job.crashes), (2, 1), "{job:?}");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_running_at_three_crashes_is_discarded_and_can_be_redriven() {
    let env = Env::start().await;
    let upload = env.submit(b"poison").await;
    let innocent = env.submit(b"innocent").await;
    for worker in ["one", "two", "three"] {
        env.claim_as(upload.job, worker, Duration::from_millis(1), &Rescue::LeaseExpired).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    env.publish(upload.job).await;
    env.publish(innocent.job).await;
    let _worker = env.worker().await;

    env.until(innocent.job, JobState::Completed).await;
    let job = env.until(upload.job, JobState::Discarded).await;
    assert_eq!((job.attempt, job.crashes), (3, 3), "{job:?}");
    assert!(job.replayable && job.reason.is_some(), "{job:?}");
    env.finish_with_files(&[upload.file]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_loses_the_broker_for_a_moment_keeps_its_job() {
    let env = Env::start().await;
    let _one = env.worker().await;
    let _other = env.worker().await;
    env.fault("effect=delay,ms=900,action=upload,times=1");
    let upload = env.enqueue(b"still here").await;
    env.until_uploading(1).await;

    // The broker's list of connections is a few seconds old.
    until("connections were closed", async || env.host().close_connections().await > 0).await;
    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.attempt, job.crashes), (1, 0), "{job:?}");
    assert_eq!(env.media().traffic().upload_requests, 1);
    let second = env.submit(b"after that").await;
    env.publisher.connected().await;
    env.publish(second.job).await;
    env.until(second.job, JobState::Completed).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_worker_finds_out_too_late_does_not_count() {
    let env = Env::start_with(|store| store.publish_grace = Duration::from_millis(50)).await;
    let _worker = env.worker().await;
    env.fault("effect=delay,ms=800,action=upload,times=1");
    let upload = env.enqueue(b"slow").await;
    env.until_uploading(1).await;

    // Somebody who believes that the worker is gone takes over, and finishes first.
    let holder = env.job(upload.job).await.worker.expect("a worker");
    let rescue = Rescue::HolderGone { worker: holder };
    let claimed = env.claim_as(upload.job, "hasty", Duration::from_secs(60), &rescue).await;
    testkit::ends::discard_upload(env.store(), upload.job, claimed.attempt, "by the other").await.expect("recorded");

    env.until_quiet().await;
    // It lives, so its crash, of which the other was sure, was none.
    let retracted = async || env.job(upload.job).await.crashes == 0;
    until("the worker that was thought dead has said that it lives", retracted).await;
    let job = env.job(upload.job).await;
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Discarded, Some("by the other")));
    assert_eq!(job.attempts[0].outcome, Some(AttemptOutcome::Released));
    env.finish_with_files(&[upload.file]).await;
}
