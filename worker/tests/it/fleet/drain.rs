//! A worker that drains.

use store::{Controlled, JobState, Steered, WorkerState};
use testkit::PATIENCE;

use super::signs::{OFTEN, worker_named};
use crate::support::{Env, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_drains_finishes_what_runs_takes_nothing_and_goes_on_when_it_is_told_so() {
    let env = Env::start().await;
    let worker = env
        .worker_with(|config| {
            (config.settings.learn_every, config.settings.sign_every) = (OFTEN, OFTEN);
            config.cloudinary.timeout = PATIENCE;
        })
        .await;
    env.fault("effect=delay,ms=3000,action=upload,times=1");
    let running = env.enqueue(b"it runs").await;
    env.until_uploading(1).await;
    let drain = Controlled::Worker(worker.name().to_owned());
    let told = env.store().controls().set(&drain, worker.name(), "a test", "").await.expect("an answer");
    assert_eq!(told, Steered::Done);
    until("it says that it drains", async || worker.readiness().draining).await;
    assert!(!worker.readiness().ready, "it takes nothing");
    until("it says why", async || worker.readiness().dependencies["rabbitmq"].contains("drain")).await;
    until("its sign of life says so", async || {
        worker_named(&env, worker.name()).await.is_some_and(|worker| worker.state() == WorkerState::Draining)
    })
    .await;
    until("nobody consumes", async || env.consumers().await == 0).await;

    let waiting = env.enqueue(b"it waits").await;
    let done = env.until(running.job, JobState::Completed).await;
    assert_eq!((done.attempt, done.failures), (1, 0), "what ran was finished");
    assert_eq!(env.job(waiting.job).await.state, JobState::Queued);
    until("it runs nothing", async || {
        worker_named(&env, worker.name()).await.is_some_and(|worker| worker.running.is_empty())
    })
    .await;
    assert_eq!(env.job(waiting.job).await.state, JobState::Queued, "nothing was taken");

    assert!(env.store().controls().lift(&drain).await.expect("an answer"));
    env.until(waiting.job, JobState::Completed).await;
    until("it is ready", async || worker.readiness().ready).await;
    env.finish().await;
}
