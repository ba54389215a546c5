//! A worker whose services are not there yet, or go away.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use store::JobState;
use testkit::proxy::{Passage, Proxy};
use testkit::{PATIENCE, Services};
use tokio::net::TcpListener;

use crate::support::{Env, address, broker, until};

/// An address on which nobody listens.
async fn nobodys() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    listener.local_addr().expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_starts_before_its_services_waits_for_them() {
    let env = Env::start().await;
    let upload = env.enqueue(b"early").await;
    let services = Services::from_env();
    let (database, rabbit) = (nobodys().await, nobodys().await);
    let mut config = env.config();
    config.store = env.store_at(database);
    config.broker = broker(&format!("amqp://guest:guest@{rabbit}"), env.name());
    let worker = worker::start(config).await.expect("a worker that waits");

    let readiness = worker.readiness();
    assert!(!readiness.ready);
    assert_ne!(readiness.dependencies["mongodb"], "ok");
    assert_ne!(readiness.dependencies["rabbitmq"], "consuming");
    assert_eq!(readiness.dependencies["spool"], "ok");
    let _database = Proxy::start_at(database, address(&services.mongodb)).await.expect("nobody listens there");
    let _rabbit = Proxy::start_at(rabbit, address(&services.rabbitmq)).await.expect("nobody listens there");
    env.until(upload.job, JobState::Completed).await;
    until("the worker is ready", async || worker.readiness().ready).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_waits_for_a_database_that_is_away() {
    let env = Env::start().await;
    let services = Services::from_env();
    let database = Proxy::start(address(&services.mongodb)).await.expect("a port");
    let mut config = env.config();
    config.store = env.store_at(database.address);
    config.store.timeout = Duration::from_secs(1);
    config.settings.database_patience = Duration::from_millis(300);
    config.settings.lease = Duration::from_secs(60);
    let worker = worker::start(config).await.expect("a worker");
    env.fault("effect=delay,ms=500,action=upload,times=1");
    let upload = env.enqueue(b"done, and nobody to tell").await;
    env.until_uploading(1).await;

    database.set(Passage::Refused);
    until("the file is stored", async || env.media().assets().len() == 1).await;
    until("nothing is consumed", async || worker.readiness().dependencies["rabbitmq"].contains("mongodb")).await;
    assert_eq!(env.job(upload.job).await.state, JobState::Running);
    database.set(Passage::Open);
    let job = env.until(upload.job, JobState::Completed).await;
    assert_eq!((job.attempt, job.crashes), (1, 0), "{job:?}");
    assert_eq!(env.media().traffic().upload_requests, 1);
    until("the worker is ready", async || worker.readiness().ready).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_served_with_each_dependency_by_name() {
    let env = Env::start().await;
    let worker = env.worker_with(|config| config.settings.health = Some((Ipv4Addr::LOCALHOST, 0).into())).await;
    let address = worker.health().expect("an address");
    let alive = reqwest::get(format!("http://{address}/healthz")).await.expect("an answer");
    assert_eq!(alive.status().as_u16(), 200);
    let ready = async || reqwest::get(format!("http://{address}/readyz")).await.expect("an answer");
    until("the worker is ready", async || ready().await.status().as_u16() == 200).await;
    let mut body: serde_json::Value = ready().await.json().await.expect("JSON");
    assert!(body.as_object_mut().and_then(|body| body.remove("clockOffsetMs")).is_some_and(|offset| offset.is_i64()));
    assert_eq!(
        body,
        serde_json::json!({"ready": true, "dependencies":
            {"cloudinary": "ok", "mongodb": "ok", "rabbitmq": "consuming", "spool": "ok"},
            "reconciled": {"checked": 0, "drifted": 0}, "replacedQueues": 0, "draining": false, "pausedQueues": []})
    );
    env.finish().await;
}

/// A pipe that nobody writes to keeps waiting whoever opens it, as a network volume does whose server is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_spool_whose_volume_hangs_is_named_in_time_however_often_it_is_asked_for() {
    let env = Env::start().await;
    let worker = env.worker_with(|config| config.settings.health = Some((Ipv4Addr::LOCALHOST, 0).into())).await;
    let address = worker.health().expect("an address");
    let client = reqwest::Client::builder().timeout(PATIENCE / 2).build().expect("a client");
    let spool = async || {
        let answer = client.get(format!("http://{address}/readyz")).send().await.expect("an answer in time");
        let body: serde_json::Value = answer.json().await.expect("JSON");
        body["dependencies"]["spool"].as_str().expect("a state").to_owned()
    };
    assert_eq!(spool().await, "ok");

    let (id, aside) = (env.folder().join("spool/id"), env.folder().join("spool/id-aside"));
    std::fs::rename(&id, &aside).expect("set aside");
    assert!(std::process::Command::new("mkfifo").arg(&id).status().expect("it runs").success());
    // More than the machine has cores.
    for state in futures_util::future::join_all((0..8).map(|_| spool())).await {
        assert_eq!(state, "the spool does not answer: check the volume of SPOOL_DIR");
    }
    // Ends the wait of the one who reads.
    std::fs::write(&id, env.spool().id().to_string()).expect("written");
    std::fs::rename(&aside, &id).expect("renamed");
    until("it answers again", async || spool().await == "ok").await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_name_server_knows_the_database_it_says_that_it_lives() {
    let env = Env::start().await;
    let address = nobodys().await;
    let mut config = env.config();
    config.settings.health = Some(address);
    config.store =
        store::Config::new("mongodb+srv://nowhere.invalid/".into(), env.database().name(), "test").expect("an address");
    let starting = tokio::spawn(worker::start(config));
    let status = async |page: &str| {
        let answer = reqwest::get(format!("http://{address}/{page}")).await;
        answer.map_or(0, |answer| answer.status().as_u16())
    };
    until("it says that it lives", async || status("healthz").await == 200).await;
    assert_eq!(status("readyz").await, 503);
    assert!(!starting.is_finished());
    starting.abort();
    env.finish().await;
}
