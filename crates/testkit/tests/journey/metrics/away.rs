//! A database that is away.

use std::time::Duration;

use testkit::process::{self, free_address, program};
use testkit::{Process, TestEnv};

use super::watch::Watch;
use crate::support::start_worker;

/// Nobody listens there.
const NOWHERE: &str = "mongodb://127.0.0.1:1/?replicaSet=rs0";

/// An api that serves its metrics, in a process of its own, with further settings, which win. It may not be ready.
pub fn start_api(env: &TestEnv, more: &[(&'static str, String)]) -> (Process, Watch) {
    let address = free_address().expect("a free port");
    let mut settings = env.api_settings();
    settings.push(("METRICS_LISTEN", address.to_string()));
    settings.extend_from_slice(more);
    let program = program("api").expect("an api");
    (process::spawn("api", &program, &[], &settings, env.folder()).expect("an api"), Watch::new(address))
}

/// A worker that serves its metrics. It may not be ready.
pub fn start_watched_worker(env: &TestEnv, name: &str, more: &[(&'static str, String)]) -> (Process, Watch) {
    let address = free_address().expect("a free port");
    let settings = [&[("WORKER_HEALTH", address.to_string())], more].concat();
    (start_worker(env, name, &settings), Watch::new(address))
}

#[tokio::test]
async fn without_a_database_both_programs_tell_soon_what_they_know_and_that_they_are_not_ready() {
    let env = TestEnv::start().await;
    let nowhere = [("MONGODB_URI", NOWHERE.to_owned())];
    let (_api, mut of_api) = start_api(&env, &nowhere);
    let (_worker, mut of_worker) = start_watched_worker(&env, "worker", &nowhere);
    for watch in [&mut of_api, &mut of_worker] {
        watch.until_line("steep_broker_up 1").await;
        let took = watch.look().await.expect("an answer");
        assert!(took < Duration::from_secs(8), "{took:?}");
        assert!(watch.has("steep_ready 0") && watch.has("steep_draining 0"), "{}", watch.text);
        for absent in [meters::JOBS.metric.name, meters::CHANNELS_DIRTY.metric.name, meters::CLOCK_OFFSET.metric.name] {
            assert!(!watch.names().contains(absent), "{absent} is in\n{}", watch.text);
        }
    }
    env.finish().await;
}
