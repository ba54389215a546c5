//! When jobs run.

use std::collections::BTreeMap;

use cloudinary_local::{Effect, Fault, Moment};
use mongodb::bson::{DateTime, Document, doc};
use testkit::{Process, TestEnv, jpeg, process};

use super::{DAY, HOUR, MINUTE, at, begun, clock, stored};
use crate::support;

fn unavailable(retry_after: Option<u64>) -> Fault {
    let at = Moment::BeforeStoring;
    Fault::new(Effect::Status { status: 503, message: None, html: None, retry_after, at }).on("upload")
}

/// A worker with a clock, at a spool of its own, so that it relays what others do.
async fn relay(env: &TestEnv, name: &str, clock: Vec<(&'static str, String)>) -> Process {
    let mut settings = clock;
    settings.push(("SPOOL_DIR", env.folder().join(name).display().to_string()));
    support::worker_with(env, name, &settings).await
}

/// Waits until each of so many workers has looked for due jobs so many times more.
async fn until_relayed(env: &TestEnv, workers: usize, times: usize) {
    let of_jobs = doc! { "op": "query", "ns": format!("{}.jobs", env.database().name()) };
    env.database().run_command(doc! { "profile": 1, "filter": of_jobs }).await.expect("the database notes queries");
    let profile = env.database().collection::<Document>("system.profile");
    TestEnv::until("every worker has looked for due jobs", async || {
        let mut looks = BTreeMap::<String, usize>::new();
        let mut noted = profile.find(doc! {}).await.expect("the database answers");
        while noted.advance().await.expect("the database answers") {
            let query = noted.deserialize_current().expect("a query");
            let worker = query.get_str("appName").ok().filter(|name| name.starts_with("steep-worker"));
            let filter = query.get_document("command").and_then(|command| command.get_document("filter")).ok();
            // It asks when the next of some states is due. What it takes is compared with the time as well.
            let is_for_due = |filter: &Document| {
                filter.get_document("state").is_ok() && filter.contains_key("dueAt") && !filter.contains_key("$expr")
            };
            if let Some(worker) = worker
                && filter.is_some_and(is_for_due)
            {
                *looks.entry(worker.to_owned()).or_default() += 1;
            }
        }
        looks.values().filter(|looks| **looks >= times).count() >= workers
    })
    .await;
    env.database().run_command(doc! { "profile": 0 }).await.expect("no more");
}

/// Lets all retries be due.
async fn let_retries_be_due(env: &TestEnv) {
    let all = env.database().collection::<Document>("jobs");
    let due = doc! { "$set": { "runAt": DateTime::from_millis(0), "dueAt": DateTime::from_millis(0) } };
    all.update_many(doc! { "state": "retryable" }, due).await.expect("due");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_waits_for_as_long_as_it_was_told_to_whatever_another_machines_clock_says() {
    let env = TestEnv::start().await;
    let Some(fast) = clock(&env, "fast", 40 * MINUTE) else { return env.finish().await };
    let days = clock(&env, "days", 3 * DAY).expect("another");
    let (api, worker) = (env.api().await, support::worker(&env, "right").await);
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;

    // Longer than any test lasts, and for less time than either clock is fast.
    env.media().install_fault(unavailable(Some(30 * 60)));
    let relays = [relay(&env, "fast", fast.settings()).await, relay(&env, "days", days.settings()).await];
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push(user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0));
    }
    for job in &jobs {
        user.wait_for_job(job, &["retryable"]).await;
    }
    until_relayed(&env, 3, 5).await;
    for job in &jobs {
        let job = user.wait_for_job(job, &["retryable"]).await;
        assert_eq!((&job["attempt"], &job["failures"]), (&1.into(), &1.into()), "{job}");
    }

    env.media().clear_faults();
    let_retries_be_due(&env).await;
    for job in &jobs {
        let job = user.wait_for_job(job, &["completed"]).await;
        assert_eq!(job["attempt"], 2, "{job}");
    }
    for process in relays.into_iter().chain([worker]) {
        process::end(process).await.expect("it lives");
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_without_a_hint_waits_for_its_backoff_whatever_another_machines_clock_says() {
    let env = TestEnv::start().await;
    let Some(fast) = clock(&env, "fast", 40 * MINUTE) else { return env.finish().await };
    let slow = clock(&env, "slow", -10 * MINUTE).expect("another");
    // Anything from nothing to half an hour, which the fast clock is past.
    let backoff = [("WORKER_RETRY_BASE", "30m".to_owned()), ("WORKER_RETRY_CAP", "30m".to_owned())];
    let (api, worker) = (env.api().await, support::worker_with(&env, "right", &backoff).await);
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;

    env.media().install_fault(unavailable(None));
    let relays = [relay(&env, "fast", fast.settings()).await, relay(&env, "slow", slow.settings()).await];
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let job = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
        user.wait_for_job(&job, &["retryable"]).await;
        let before = stored(&env, &job).await;
        waiting.push((job, begun(&before).len(), at(&before, "runAt")));
    }
    until_relayed(&env, 3, 5).await;
    let mut not_yet = 0;
    for (job, attempts, run_at) in &waiting {
        let after = stored(&env, job).await;
        match begun(&after).get(*attempts) {
            Some(next) => assert!(next >= run_at, "{next} is before {run_at}: {after}"),
            None => not_yet += 1,
        }
    }
    // A minute is a thirtieth of half an hour.
    assert!(not_yet >= 5, "{not_yet} of 10 wait");

    env.media().clear_faults();
    let_retries_be_due(&env).await;
    for (job, ..) in &waiting {
        user.wait_for_job(job, &["completed"]).await;
    }
    for process in relays.into_iter().chain([worker]) {
        process::end(process).await.expect("it lives");
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_not_late_where_the_only_clock_is_slow() {
    for (name, seconds) in [("minutes", -10 * MINUTE), ("days", -2 * DAY)] {
        let env = TestEnv::start().await;
        let Some(slow) = clock(&env, name, seconds) else { return env.finish().await };
        let (api, worker) = (env.api().await, support::worker_with(&env, name, &slow.settings()).await);
        env.media().install_fault(unavailable(None).times(3));
        let (user, answer) = api.new_user(jpeg(1_000)).await;
        let job = user.wait_for_job(&answer.job(0), &["completed"]).await;
        assert_eq!(job["failures"], 3, "{job}");
        process::end(worker).await.expect("it lives");
        env.finish().await;
    }
}

/// An api that accepts while its clock is wrong and dies before it has published anything.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_api_with_a_wrong_clock_accepted_is_relayed_at_once() {
    for (name, seconds) in [("fast", 2 * HOUR), ("slow", -2 * HOUR)] {
        let env = TestEnv::start().await;
        let Some(wrong) = clock(&env, name, seconds) else { return env.finish().await };
        let mut settings = wrong.settings();
        settings.push(("RABBITMQ_URL", "amqp://127.0.0.1:1".to_owned()));
        let (api, client) = support::api_with(&env, "api", &settings).await;
        let worker = support::worker(&env, "worker").await;
        let (user, answer) = client.new_user(jpeg(1_000)).await;
        let job = user.wait_for_job(&answer.job(0), &["completed"]).await;
        assert_eq!(job["attempt"], 1, "{job}");
        for process in [worker, api] {
            process::end(process).await.expect("it lives");
        }
        env.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_while_a_worker_runs_is_told_and_changes_nothing_else() {
    let env = TestEnv::start().await;
    let Some(changing) = clock(&env, "changing", 0) else { return env.finish().await };
    let health = process::free_address().expect("a free port");
    let mut settings = changing.settings();
    settings.push(("WORKER_HEALTH", health.to_string()));
    let mut worker = support::start_worker(&env, "changing", &settings);
    let url = format!("http://{health}/readyz");
    process::until_ok(&mut worker, &url).await.expect("a ready worker");
    let api = env.api().await;
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;

    for seconds in [2 * HOUR, -10 * MINUTE, 0] {
        changing.set(seconds).expect("set");
        TestEnv::until("its readiness tells by how much its clock is wrong", async || {
            let ready: serde_json::Value = reqwest::get(&url).await.expect("an answer").json().await.expect("json");
            let offset = ready["clockOffsetMs"].as_i64().expect("an offset");
            ready["ready"] == true && (offset - seconds * 1000).abs() < 500
        })
        .await;
        env.media().install_fault(unavailable(None).times(2));
        let job = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
        let job = user.wait_for_job(&job, &["completed"]).await;
        assert_eq!(job["failures"], 2, "{job}");
    }
    let log = worker.printed().expect("a log");
    for (text, times) in [("clock is fast by", 1), ("clock is slow by", 1), ("agrees with MongoDB's again", 1)] {
        assert_eq!(log.matches(text).count(), times, "{text}: {log}");
    }
    process::end(worker).await.expect("it lives");
    env.finish().await;
}
