//! A program crashes in the middle of what several uploads share.

use cloudinary_local::{Effect, Fault, Moment};
use futures_util::future::join_all;
use mongodb::bson::doc;
use store::JobState;
use testkit::{jpeg, process};

use super::env::{CrashEnv, submission};
use super::{ACCEPT_SHARED, SHARED, at_each};

/// Files of one user.
const FILES: usize = 24;

async fn env() -> CrashEnv {
    CrashEnv { picture: jpeg(5_000), ..CrashEnv::new().await }
}

fn keys() -> Vec<String> {
    (0..FILES).map(|number| format!("key-{number}")).collect()
}

/// Fails unless each file was uploaded once.
async fn assert_uploaded_once_each(env: &CrashEnv) {
    env.settled(0).await;
    assert_eq!(env.media().assets().len(), FILES);
    let files = u64::try_from(FILES).expect("a number");
    let completed = doc! { "state": JobState::Completed.as_str() };
    assert_eq!((env.count("jobs", completed).await, env.count("jobs", doc! {}).await), (files, files));
    assert_eq!(env.count("assets", doc! { "state": "ready" }).await, files);
    assert_eq!(env.count("events", doc! { "kind": "media.ready.v1" }).await, files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_while_jobs_share_a_claim_or_a_commit_has_each_of_them_end_once() {
    at_each(SHARED, async |at| {
        let env = env().await;
        let (api, user) = env.another_api().await;
        for key in keys() {
            env.submit(&user, &key).await;
        }
        // So that they end at the same time.
        let delay = Fault::new(Effect::Delay { ms: 300, at: Moment::BeforeStoring });
        env.media().install_fault(delay.on("upload"));
        let at_once = [("WORKER_CONCURRENCY", "media.upload=16".to_owned())];
        env.crashed(env.doomed_worker(at, &at_once), at).await;
        let worker = env.worker();
        assert_uploaded_once_each(&env).await;
        // The first attempt and the one after the crash.
        assert_eq!(env.count("jobs", doc! { "attempt": { "$gt": 2 } }).await, 0);
        process::end(api).await.expect("it lives");
        env.finish(worker).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_crashes_while_uploads_share_a_commit_accepts_each_of_them_once_or_not_at_all() {
    at_each(ACCEPT_SHARED, async |at| {
        let env = env().await;
        let (api, user) = env.doomed_api(at).await;
        let sent = keys().into_iter().map(|key| user.try_send(submission(&user, env.picture.clone(), &key)));
        join_all(sent).await;
        env.crashed(api, at).await;

        let worker = env.worker();
        let (api, user) = env.another_api().await;
        // Whether or not there was an answer, asking again gets it and does nothing else.
        for key in keys() {
            env.submit(&user, &key).await;
        }
        assert_uploaded_once_each(&env).await;
        process::end(api).await.expect("it lives");
        env.finish(worker).await;
    })
    .await;
}
