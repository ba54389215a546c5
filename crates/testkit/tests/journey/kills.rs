//! Programs are killed with SIGKILL, which nothing can prepare for.

use cloudinary_local::{Effect, Fault, Moment};
use testkit::{Leftovers, TestEnv, jpeg, process};

use crate::support;

#[tokio::test]
async fn an_upload_that_was_accepted_survives_the_api() {
    let env = TestEnv::start().await;
    let (mut process, api) = support::api(&env, "api").await;
    let picture = jpeg(50_000);
    let (user, answer) = api.new_user(picture.clone()).await;
    process.kill();

    let (_process, api) = support::api(&env, "another-api").await;
    let user = api.with_token(user.token().expect("signed in"));
    let _worker = support::worker(&env, "worker").await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    let assets = env.media().assets();
    assert_eq!(assets.len(), 1);
    assert_eq!(env.media().read(&assets[0]).await.expect("its bytes"), picture);
    env.finish().await;
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_an_upload_is_replaced_by_another() {
    let env = TestEnv::start().await;
    let api = env.api().await;
    env.media().install_fault(Fault::new(Effect::Hang { at: Moment::BeforeStoring }).on("upload"));
    let mut first = support::worker(&env, "worker").await;
    let (user, answer) = api.new_user(jpeg(50_000)).await;
    TestEnv::until("the upload is under way", || async { env.media().traffic().upload_requests > 0 }).await;
    env.media().clear_faults();
    let _second = support::worker(&env, "another-worker").await;
    first.kill();

    let job = user.wait_for_job(&answer.job(0), &["completed"]).await;
    let outcomes: Vec<_> =
        job["attempts"].as_array().into_iter().flatten().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["crashed", "completed"], "{job}");
    assert_eq!(env.media().assets().len(), 1);
    env.finish().await;
}

#[tokio::test]
async fn a_worker_killed_after_storing_leaves_one_asset_and_no_file() {
    let env = TestEnv::start().await;
    let api = env.api().await;
    // The asset is stored, and the answer is still on its way when the worker dies.
    env.media().install_fault(Fault::new(Effect::Hang { at: Moment::AfterStoring }).on("upload").times(1));
    let mut first = support::worker(&env, "worker").await;
    let (user, answer) = api.new_user(jpeg(50_000)).await;
    TestEnv::until("the asset is stored", || async { env.media().assets().len() == 1 }).await;
    first.kill();

    let _second = support::worker(&env, "another-worker").await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    assert_eq!(env.media().assets().len(), 1);
    env.finish().await;
}

#[tokio::test]
async fn a_job_that_was_running_at_three_crashes_is_discarded_and_its_neighbours_are_not() {
    let env = TestEnv::start().await;
    let api = env.api().await;
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    let culprit = answer.job(0);
    let (neighbour, other) = api.new_user(jpeg(1_000)).await;
    // Uploads of the culprit hang until the worker is killed; the neighbour's pass.
    let asset = asset_of(answer.data()["avatar"].as_str());
    env.media().install_fault(Fault::new(Effect::Hang { at: Moment::BeforeStoring }).on("upload").public_id(&asset));
    for crash in 1..=3_u64 {
        let mut worker = support::worker(&env, &format!("worker-{crash}")).await;
        let name = format!("steep/avatar/{asset}");
        TestEnv::until("the culprit runs", || async { env.media().traffic_of(&name).upload_requests >= crash }).await;
        neighbour.wait_for_job(&other.job(0), &["completed"]).await;
        // Killed between the outcome and the file, it would leave the file to the sweeper, who takes his time.
        TestEnv::until("the neighbour's file is gone", || async { env.spooled_files() == 1 }).await;
        worker.kill();
    }
    let _worker = support::worker(&env, "worker-4").await;
    let job = user.wait_for_job(&culprit, &["discarded"]).await;
    assert!(job["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{job}");
    assert_eq!(user.current_user().await["avatar"], "", "it falls back to what it was");
    env.finish_with(Leftovers { files: 1, ..Leftovers::default() }).await;
}

fn asset_of(url: Option<&str>) -> String {
    let name = url.and_then(|url| url.rsplit('/').next()).expect("an address of an asset");
    name.trim_end_matches(".jpg").to_owned()
}

#[tokio::test]
async fn programs_that_are_asked_to_stop_finish_what_they_do_and_exit_with_zero() {
    let env = TestEnv::start().await;
    let (process, api) = support::api(&env, "api").await;
    let worker = support::worker(&env, "worker").await;
    env.media().install_fault(Fault::new(Effect::Delay { ms: 1_000, at: Moment::BeforeStoring }).on("upload"));
    let (_, _) = api.new_user(jpeg(1_000)).await;
    TestEnv::until("the upload is under way", || async { env.media().traffic().upload_requests > 0 }).await;
    process::end(worker).await.expect("it ends");
    process::end(process).await.expect("it ends");
    assert_eq!(env.media().assets().len(), 1, "what ran was finished");
    env.finish().await;
}
