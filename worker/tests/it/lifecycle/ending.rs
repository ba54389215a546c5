//! How a worker ends.

use std::future::pending;
use std::time::{Duration, Instant};

use store::{AttemptOutcome, JobState};

use crate::support::{Env, until};

/// How long the media host keeps an upload waiting in these tests: whoever ends much sooner did not wait for it.
const HANGS: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_finishes_what_runs_before_it_ends() {
    let env = Env::start().await;
    let worker = env.worker().await;
    env.fault("effect=delay,ms=500,action=upload,times=1");
    let upload = env.enqueue(b"let me finish").await;
    env.until_uploading(1).await;

    worker.shutdown(pending()).await;
    let job = env.job(upload.job).await;
    assert_eq!((job.state, job.attempt), (JobState::Completed, 1), "{job:?}");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_runs_out_of_time_gives_its_job_back() {
    let env = Env::start().await;
    let worker = env.worker_with(|config| config.settings.shutdown_limit = Duration::from_millis(200)).await;
    let hung = env.fault(&format!("effect=delay,ms={},action=upload", HANGS.as_millis()));
    let upload = env.enqueue(b"no time").await;
    env.until_uploading(1).await;

    let begin = Instant::now();
    worker.shutdown(pending()).await;
    assert!(begin.elapsed() < HANGS / 2, "{:?}", begin.elapsed());
    let job = env.job(upload.job).await;
    assert_eq!((job.state, job.failures, job.crashes), (JobState::Retryable, 0, 0), "{job:?}");
    assert_eq!(job.attempts[0].outcome, Some(AttemptOutcome::Released));

    env.media().clear_fault(hung);
    let _other = env.worker().await;
    env.until(upload.job, JobState::Completed).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_gives_back_at_once() {
    let env = Env::start().await;
    let worker = env.worker().await;
    let hung = env.fault(&format!("effect=delay,ms={},action=upload", HANGS.as_millis()));
    let upload = env.enqueue(b"hurry").await;
    env.until_uploading(1).await;

    let begin = Instant::now();
    worker.shutdown(tokio::time::sleep(Duration::from_millis(100))).await;
    assert!(begin.elapsed() < HANGS / 2, "{:?}", begin.elapsed());
    env.media().clear_fault(hung);
    let _other = env.worker().await;
    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.failures, job.crashes), (0, 0), "{job:?}");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_ends_at_once_and_leaves_what_waits_to_others() {
    let env = Env::start().await;
    let worker = env.worker().await;
    until("the worker is ready", async || worker.readiness().ready).await;
    let begin = Instant::now();
    worker.shutdown(pending()).await;
    assert!(begin.elapsed() < worker::Settings::default().shutdown_limit / 2, "{:?}", begin.elapsed());

    let upload = env.enqueue(b"later").await;
    assert_eq!(env.job(upload.job).await.state, JobState::Queued);
    let _other = env.worker().await;
    env.until(upload.job, JobState::Completed).await;
    env.finish().await;
}
