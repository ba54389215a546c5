//! What a sweeper removes whose machine has a wrong clock.

use std::time::Duration;

use testkit::process::{self, FalseClock};
use testkit::proxy::{Passage, Proxy};
use testkit::{Process, RawForm, Services, TestEnv, Wire, jpeg};

use super::{HOUR, clock, sweeps, telling_sweeps};
use crate::support;

/// A worker on the spool of the apis whose clock is fast, and that sweeps all the time.
async fn sweeper(env: &TestEnv, fast: &FalseClock) -> Process {
    let mut settings = fast.settings();
    settings.extend([("WORKER_SWEEP_EVERY", "1s".to_owned()), telling_sweeps()]);
    support::worker_with(env, "sweeper", &settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_stays_under_an_upload_that_takes_its_time() {
    let env = TestEnv::start().await;
    let Some(fast) = clock(&env, "fast", 2 * HOUR) else { return env.finish().await };
    let (api, worker) = (env.api().await, sweeper(&env, &fast).await);
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    TestEnv::until("the avatar's file is gone", async || env.spooled_files() == 0).await;

    let form = RawForm::new().file("file", "a.jpg", &jpeg(400_000)).finished();
    let mut wire = Wire::open(&user).await;
    wire.form_head("POST", "/api/v1/media", form.len()).await;
    let (first, rest) = form.split_at(300_000);
    wire.send(first).await;
    TestEnv::until("a part of it is on the disk", async || env.spooled_files() > 0).await;
    for piece in rest.chunks(25_000) {
        let before = sweeps(&worker);
        TestEnv::until("another sweep", async || sweeps(&worker) > before).await;
        wire.send(piece).await;
    }
    let job = wire.answer().await.expect(202).job(0);
    user.wait_for_job(&job, &["completed"]).await;
    process::end(worker).await.expect("it lives");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_stays_while_the_transaction_that_accepts_it_takes_its_time() {
    let env = TestEnv::start().await;
    let Some(fast) = clock(&env, "fast", 2 * HOUR) else { return env.finish().await };
    let services = Services::from_env();
    let database = services.mongodb.trim_start_matches("mongodb://").split(['/', '?']).next().unwrap_or_default();
    let database = Proxy::start(database.parse().expect("one server")).await.expect("a port");
    let uri = format!("mongodb://{}/?directConnection=true", database.address);
    let (api, client) = support::api_with(&env, "api", &[("MONGODB_URI", uri)]).await;
    let worker = sweeper(&env, &fast).await;
    let (user, answer) = client.new_user(jpeg(1_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;

    // Each way: a transaction of three round trips takes three seconds or more.
    database.set(Passage::Late(Duration::from_millis(500)));
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let user = user.clone();
        answers.spawn(async move { user.submit("a.jpg", jpeg(2_000)).await });
    }
    let answers = answers.join_all().await;
    database.set(Passage::Open);
    let taken: Vec<String> =
        answers.into_iter().filter(|answer| answer.status == 202).map(|answer| answer.job(0)).collect();
    println!("{} of 8 were taken", taken.len());
    assert!(!taken.is_empty(), "transactions were slower than they may be");
    for job in taken {
        user.wait_for_job(&job, &["completed"]).await;
    }
    for process in [worker, api] {
        process::end(process).await.expect("it lives");
    }
    // A commit whose outcome nobody knows leaves its file to a sweeper.
    support::let_files_grow_old(&env);
    let _sweeper = env.worker_with(|config| config.settings.sweep_every = Duration::from_millis(200)).await;
    env.finish().await;
}
