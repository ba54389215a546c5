//! Signs of life, and what has ended.

use std::future::pending;
use std::time::Duration;

use bson::doc;
use store::{JobState, Rollups, Window, Worker, WorkerState};
use testkit::PATIENCE;

use crate::support::{Env, until};

/// How often a worker of these tests does what takes seconds elsewhere.
pub const OFTEN: Duration = Duration::from_millis(50);

pub async fn worker_named(env: &Env, name: &str) -> Option<Worker> {
    env.store().workers().find(name).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_tells_that_it_lives_and_what_it_runs_and_that_it_ends() {
    let env = Env::start().await;
    let hung = env.fault("effect=delay,ms=60000,action=upload");
    let worker =
        env.worker_with(|config| (config.settings.sign_every, config.cloudinary.timeout) = (OFTEN, PATIENCE)).await;
    let name = worker.name().to_owned();
    let upload = env.enqueue(b"it runs").await;
    env.until_uploading(1).await;
    until("it tells what it runs", async || {
        worker_named(&env, &name).await.is_some_and(|worker| worker.running.len() == 1)
    })
    .await;
    let told = worker_named(&env, &name).await.expect("a worker");
    assert_eq!((told.state(), told.spool.as_str()), (WorkerState::Alive, env.spool().id().as_str()));
    assert_eq!((told.running[0].job, told.running[0].kind.as_str()), (upload.job, "media.upload.v1"));
    assert_eq!(told.running[0].since, env.job(upload.job).await.attempts[0].started_at);
    let slots = told.slots.iter().find(|slots| slots.kind == "media.upload.v1").expect("slots");
    assert!(slots.used == 1 && slots.slots > 1, "{slots:?}");
    until("it has looked into its spool", async || {
        let told = worker_named(&env, &name).await.expect("a worker");
        told.spool_fill.is_some_and(|fill| fill.free_bytes.is_some())
    })
    .await;

    env.media().clear_fault(hung);
    let deadline = async {};
    worker.shutdown(deadline).await;
    let left = worker_named(&env, &name).await.expect("a worker");
    assert_eq!((left.state(), left.running.len()), (WorkerState::Left, 0));
    let _other = env.worker().await;
    env.until(upload.job, JobState::Completed).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_says_nothing_and_counts_as_vanished_after_a_while() {
    let env = Env::start().await;
    let worker = env.worker_with(|config| config.settings.sign_every = OFTEN).await;
    let name = worker.name().to_owned();
    until("it tells that it lives", async || worker_named(&env, &name).await.is_some()).await;
    drop(worker);
    // A while later, as far as the database is concerned. A sign that was under way when it died may come once more.
    let ago = vec![doc! { "$set": { "lastSign": { "$subtract": ["$$NOW", 21_000] } } }];
    until("it counts as vanished", async || {
        let workers = env.database().collection::<bson::Document>("workers");
        workers.update_one(doc! { "_id": &name }, ago.clone()).await.expect("changed");
        worker_named(&env, &name).await.is_some_and(|worker| worker.state() == WorkerState::Vanished)
    })
    .await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_workers_tells_what_has_ended_and_what_waits() {
    let env = Env::start().await;
    let often = |config: &mut worker::Config| config.settings.roll_up_every = OFTEN;
    let (one, two) = (env.worker_with(often).await, env.worker_with(often).await);
    for content in [&b"one"[..], b"two", b"three"] {
        let upload = env.enqueue(content).await;
        env.until(upload.job, JobState::Completed).await;
    }
    let rollups = env.store().rollups();
    until("three uploads are told", async || {
        let hour = rollups.window(Window::Hour).await.expect("rollups");
        Rollups::sum(&hour).iter().any(|kind| kind.kind == "media.upload.v1" && kind.completed == 3)
    })
    .await;
    until("nothing waits", async || {
        let snapshot = rollups.snapshot().await.expect("an answer");
        snapshot.is_some_and(|snapshot| snapshot.queues.is_empty())
    })
    .await;
    for worker in [one, two] {
        worker.shutdown(pending()).await;
    }
    let hour = rollups.window(Window::Hour).await.expect("rollups");
    let uploads = Rollups::sum(&hour).into_iter().find(|kind| kind.kind == "media.upload.v1").expect("uploads");
    assert_eq!((uploads.completed, uploads.latency.total()), (3, 3), "each is told once");
    env.finish().await;
}
