//! Queues and users that are paused.

use std::time::Duration;

use bson::{Document, doc};
use store::{AssetState, Controlled, JobState, Role, Steered};

use super::signs::OFTEN;
use crate::support::{Env, until};

async fn pause(env: &Env, what: &Controlled) {
    let told = env.store().controls().set(what, "", "a test", "").await.expect("an answer");
    assert_eq!(told, Steered::Done);
}

async fn resume(env: &Env, what: &Controlled) {
    assert!(env.store().controls().lift(what).await.expect("an answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_is_not_consumed_while_others_are_also_by_a_worker_that_starts_meanwhile() {
    // Deletions are published by the relay.
    let env = Env::start_with(|store| store.publish_grace = Duration::from_millis(50)).await;
    let deletions = Controlled::Queue("media.delete".to_owned());
    pause(&env, &deletions).await;
    let worker = env.worker_with(|config| config.settings.learn_every = OFTEN).await;
    let first = env.replace(Role::Avatar, b"first").await;
    env.until(first.job, JobState::Completed).await;
    let second = env.replace(Role::Avatar, b"second").await;
    env.until(second.job, JobState::Completed).await;
    let deletion = async || {
        let jobs = env.database().collection::<Document>("jobs");
        let found = jobs.find_one(doc! { "kind": "media.delete.v1" }).await.expect("an answer");
        found.map(|job| {
            (job.get_str("state").expect("a state").to_owned(), job.get_array("attempts").expect("it").len())
        })
    };
    until("the deletion is queued", async || deletion().await.is_some_and(|(state, _)| state == "queued")).await;
    // Another upload comes and goes.
    let third = env.enqueue(b"third").await;
    env.until(third.job, JobState::Completed).await;
    assert_eq!(deletion().await, Some(("queued".to_owned(), 0)));
    until("it is ready all the same", async || worker.readiness().ready).await;
    assert_eq!(worker.readiness().paused_queues, ["media.delete"]);

    resume(&env, &deletions).await;
    until("the first is deleted", async || env.asset(first.asset).await.state == AssetState::Deleted).await;
    assert_eq!(worker.readiness().paused_queues, [""; 0]);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_paused_user_waits_and_runs_after_a_resume_and_nothing_is_counted_for_it() {
    let env = Env::start().await;
    let user = Controlled::User(env.owner);
    pause(&env, &user).await;
    let _worker = env.worker_with(|config| config.settings.learn_every = OFTEN).await;
    let upload = env.enqueue(b"it waits").await;
    let held = env.until(upload.job, JobState::Retryable).await;
    assert_eq!((held.failures, held.crashes, held.attempts[0].code.as_deref()), (0, 0, Some("user-paused")));
    assert!(held.run_at > held.updated_at + Duration::from_secs(3600), "{held:?}");
    assert_eq!(env.public_ids(), [""; 0], "nothing was done");

    resume(&env, &user).await;
    // A worker that was not told yet may have held it again, and looks.
    env.store().jobs().resume_held(env.owner).await.expect("resumed");
    let done = env.until(upload.job, JobState::Completed).await;
    assert_eq!((done.failures, done.crashes), (0, 0), "{done:?}");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_not_told_of_a_resume_finds_out_when_it_holds_a_job() {
    let env = Env::start().await;
    let user = Controlled::User(env.owner);
    pause(&env, &user).await;
    // It learns nothing any more once it has started.
    let worker = env.worker_with(|config| config.settings.learn_every = Duration::from_secs(3600)).await;
    until("it is ready", async || worker.readiness().ready).await;
    resume(&env, &user).await;
    assert_eq!(env.store().jobs().resume_held(env.owner).await.expect("an answer"), 0);
    let upload = env.enqueue(b"it is held in vain").await;
    let done = env.until(upload.job, JobState::Completed).await;
    assert_eq!((done.attempt, done.failures), (2, 0), "{done:?}");
    env.finish().await;
}
