//! A worker crashes on the way from a delivery to its settlement.

use cloudinary_local::{Effect, Fault, Moment};
use mongodb::bson::doc;
use store::{JobState, Wish};
use testkit::{Api, Client, TestEnv, jpeg, process};

use super::env::CrashEnv;
use super::{DELETE, DISCARD, RECOMPUTE, RETRY, SHUTDOWN, UPLOAD, at_each, at_each_a_worker};

fn uploads_answer(status: u16) -> Fault {
    let at = Moment::BeforeStoring;
    Fault::new(Effect::Status { status, message: None, html: None, retry_after: None, at }).on("upload")
}

/// The user's avatar is accepted and its job published.
async fn accepted(env: CrashEnv) -> (CrashEnv, (Api, Client, String)) {
    let accepted = env.accept().await;
    (env, accepted)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_during_an_upload_is_replaced_and_the_upload_happens_once() {
    at_each_a_worker(
        UPLOAD,
        async || accepted(CrashEnv::new().await).await,
        async |env, _| env.shows_the_avatar(1).await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_after_the_host_did_its_work_and_before_the_answer_does_it_once() {
    for action in ["upload", "destroy"] {
        let env = CrashEnv::new().await;
        let (_api, user, job) = env.accept().await;
        if action == "destroy" {
            env.completed(&user, &job).await;
        }
        let host = env.media();
        host.install_fault(Fault::new(Effect::Hang { at: Moment::AfterStoring }).on(action).times(1));
        let mut doomed = env.doomed_worker("worker.performed=nothing", &[]);
        let (env, change) = match action {
            "upload" => (env, 1),
            _ => {
                let env = CrashEnv { picture: jpeg(5_000), ..env };
                user.replace_avatar(env.picture.clone()).await.expect(202);
                (env, 2)
            }
        };
        let host = env.media();
        TestEnv::until("the host has done its work", async || {
            let struck = host.faults().iter().any(|fault| fault.struck > 0);
            struck && host.assets().len() == 1
        })
        .await;
        doomed.kill();
        let worker = env.worker();
        env.shows_the_avatar(change).await;
        env.finish(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_while_it_retries_a_job_has_it_tried_again() {
    let arrange = async || {
        let env = CrashEnv::new().await;
        env.media().install_fault(uploads_answer(503).times(1));
        accepted(env).await
    };
    at_each_a_worker(RETRY, arrange, async |env, _| env.shows_the_avatar(1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_while_it_discards_a_job_has_it_discarded_once() {
    let arrange = async || {
        let env = CrashEnv::new().await;
        env.media().install_fault(uploads_answer(400));
        accepted(env).await
    };
    at_each_a_worker(DISCARD, arrange, async |env, (_api, user, job)| {
        let job = user.wait_for_job(&job, &["discarded"]).await;
        assert!(job["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{job}");
        env.settled(1).await;
        assert_eq!(user.current_user().await["avatar"], "", "it falls back to what it was");
        assert_eq!(env.media().assets().len(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_around_a_deletion_leaves_the_newer_asset_alone_and_no_other() {
    let arrange = async || {
        let (mut env, (api, user, job)) = accepted(CrashEnv::new().await).await;
        env.completed(&user, &job).await;
        env.picture = jpeg(5_000);
        user.replace_avatar(env.picture.clone()).await.expect(202);
        (env, api)
    };
    at_each_a_worker(DELETE, arrange, async |env, _api| {
        env.shows_the_avatar(2).await;
        assert_eq!(env.count("assets", doc! { "state": "deleted" }).await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_while_it_counts_a_channel_has_it_counted() {
    let arrange = async || {
        let env = CrashEnv::with_users(2).await;
        let users = env.users().await;
        let subscribed = env.store().channels().subscribe(users[0], users[1], Wish::Subscribed).await;
        subscribed.expect("subscribed");
        (env, ())
    };
    at_each_a_worker(RECOMPUTE, arrange, async |env, ()| {
        TestEnv::until("the channel is counted", async || {
            let counted = env.count("users", doc! { "steep.aggregates.subscribersCount": 1 }).await;
            let unfinished = doc! { "state": { "$ne": JobState::Completed.as_str() } };
            // A change that came late to a count has one more.
            let waits = env.count("subscription_intents", doc! {}).await + env.count("jobs", unfinished).await;
            counted == 1 && waits == 0
        })
        .await;
        env.settled(0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_gives_back_what_it_has_no_time_for_even_if_it_crashes() {
    at_each(&[SHUTDOWN, &[""]].concat(), async |at| {
        let env = CrashEnv::new().await;
        let host = env.media();
        host.install_fault(Fault::new(Effect::Hang { at: Moment::BeforeStoring }).on("upload").times(1));
        let (_api, _, _) = env.accept().await;
        let hurry = [("WORKER_SHUTDOWN_LIMIT", "0s".to_owned())];
        let mut doomed = env.doomed_worker(if at.is_empty() { "worker.recorded" } else { at }, &hurry);
        TestEnv::until("the upload hangs", async || host.faults().iter().any(|fault| fault.struck > 0)).await;
        if at.is_empty() {
            process::end(doomed).await.expect("it ends in good order");
        } else {
            doomed.terminate();
            env.crashed(doomed, at).await;
        }
        let worker = env.worker();
        env.shows_the_avatar(1).await;
        env.finish(worker).await;
    })
    .await;
}
