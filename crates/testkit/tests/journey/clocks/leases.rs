//! Who holds a job, and who may take it over.

use broker::Admin;
use cloudinary_local::{Effect, Fault, Moment};
use messages::topology::present;
use messages::{Payload, UploadMedia};
use mongodb::bson::DateTime;
use reqwest::Method;
use serde_json::Value;
use testkit::proxy::{Passage, Proxy};
use testkit::{Api, Client, Process, TestEnv, jpeg, process};

use super::{MINUTE, at, begun, clock, stored};
use crate::support;

/// By how many seconds two clocks are fast: that of the worker which holds a job, and that of the one which may take it over.
const CLOCKS: [(i64, i64); 2] = [(-10 * MINUTE, 40 * MINUTE), (40 * MINUTE, -10 * MINUTE)];

type Settings = Vec<(&'static str, String)>;

/// The settings of both workers. An upload that hangs is not cut off, however slow the machine.
fn settings(env: &TestEnv, (holder, other): (i64, i64), lease: &str) -> Option<(Settings, Settings)> {
    let [mut holder, mut other] = [clock(env, "holder", holder)?.settings(), clock(env, "other", other)?.settings()];
    holder.push(("CLOUDINARY_TIMEOUT", "2m".to_owned()));
    for settings in [&mut holder, &mut other] {
        settings.push(("WORKER_LEASE", lease.to_owned()));
    }
    Some((holder, other))
}

fn outcomes(job: &Value) -> Vec<&str> {
    let attempts = job["attempts"].as_array().into_iter().flatten();
    attempts.map(|attempt| attempt["outcome"].as_str().unwrap_or_default()).collect()
}

fn queue(env: &TestEnv) -> String {
    UploadMedia::QUEUE.of(env.spool().id())
}

/// Uploads whose message waits at the broker.
async fn waiting(env: &TestEnv) -> Option<u32> {
    let admin = Admin::connect(&env.broker()).await.expect("the broker answers");
    let depth = admin.queue_depth(&queue(env)).await.expect("a number");
    admin.close().await;
    depth
}

/// An upload in the hands of a worker, which hangs; whoever takes it next does not.
async fn uploading(env: &TestEnv, settings: &[(&'static str, String)]) -> (Api, Client, String, Process) {
    let api = env.api().await;
    env.media().install_fault(Fault::new(Effect::Hang { at: Moment::BeforeStoring }).on("upload"));
    let holder = support::worker_with(env, "holder", settings).await;
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    TestEnv::until("the upload is under way", async || env.media().traffic().upload_requests > 0).await;
    env.media().clear_faults();
    (api, user, answer.job(0), holder)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_killed_worker_runs_elsewhere_once_and_soon() {
    for clocks in CLOCKS {
        let env = TestEnv::start().await;
        let Some((holder, other)) = settings(&env, clocks, "30s") else { return env.finish().await };
        let (_api, user, job, mut holder) = uploading(&env, &holder).await;
        let other = support::worker_with(&env, "other", &other).await;
        holder.kill();
        let killed = DateTime::now();

        let after = user.wait_for_job(&job, &["completed"]).await;
        assert_eq!(outcomes(&after), ["crashed", "completed"], "{after}");
        let again = begun(&stored(&env, &job).await)[1];
        let late = again.timestamp_millis() - killed.timestamp_millis();
        println!("running elsewhere after {late} ms");
        // The lease alone would bring it back after 27 seconds or more.
        assert!(late < 20_000, "{late} ms");
        process::end(other).await.expect("it lives");
        env.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_when_mongodbs_clock_says_so() {
    for clocks in CLOCKS {
        let env = TestEnv::start().await;
        let Some((holder, other)) = settings(&env, clocks, "10s") else { return env.finish().await };
        let (_api, user, job, mut holder) = uploading(&env, &holder).await;
        holder.kill();
        // Its message is lost as well, so that nothing but the lease tells of the job.
        TestEnv::until("its message is back", async || waiting(&env).await == Some(1)).await;
        let contents = format!("/api/queues/{}/{}/contents", env.name(), present(&queue(&env)));
        env.host().send(Method::DELETE, &contents, None).await;
        let end = at(&stored(&env, &job).await, "leaseUntil");
        let other = support::worker_with(&env, "other", &other).await;

        let after = user.wait_for_job(&job, &["completed"]).await;
        assert_eq!(outcomes(&after), ["crashed", "completed"], "{after}");
        let again = begun(&stored(&env, &job).await)[1];
        assert!(again >= end, "{again} is before {end}");
        process::end(other).await.expect("it lives");
        env.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_living_worker_stays_its_own() {
    for clocks in CLOCKS {
        let env = TestEnv::start().await;
        let Some((mut holder, other)) = settings(&env, clocks, "10s") else { return env.finish().await };
        let media = env.media().base_url();
        let proxy =
            Proxy::start(media.trim_start_matches("http://").parse().expect("an address")).await.expect("a port");
        proxy.set(Passage::Held);
        let direct = env.worker_settings().into_iter().find(|(name, _)| *name == "CLOUDINARY_URL").expect("an account");
        holder.push(("CLOUDINARY_URL", direct.1.replace(media, &format!("http://{}", proxy.address))));
        let api = env.api().await;
        let holder = support::worker_with(&env, "holder", &holder).await;
        let (user, answer) = api.new_user(jpeg(1_000)).await;
        let job = answer.job(0);
        user.wait_for_job(&job, &["running"]).await;
        // It could do the upload at once.
        let other = support::worker_with(&env, "other", &other).await;
        let lease_ends = async || at(&stored(&env, &job).await, "leaseUntil").timestamp_millis();
        let first = lease_ends().await;
        TestEnv::until("the lease is over that it had then", async || lease_ends().await > first + 10_000).await;
        proxy.set(Passage::Open);

        let after = user.wait_for_job(&job, &["completed"]).await;
        assert_eq!(outcomes(&after), ["completed"], "{after}");
        assert_eq!(env.media().traffic().upload_requests, 1);
        for process in [other, holder] {
            process::end(process).await.expect("it lives");
        }
        env.finish().await;
    }
}
