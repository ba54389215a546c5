//! A dependency goes away and comes back. These tests kill services, so they start ones of their own.

use std::path::Path;
use std::time::{Duration, Instant};

use cloudinary_local::{Effect, Fault, Moment};
use mongodb::bson::{DateTime, Document, doc};
use testkit::proxy::{Passage, Proxy};
use testkit::{Services, TestEnv, jpeg};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use xtask::services::{MongoDb, RabbitMq};

use crate::support;

/// Services that this test may kill.
struct Own {
    rabbitmq: RabbitMq,
    mongodb: MongoDb,
    _folder: tempfile::TempDir,
}

impl Own {
    fn start() -> (Self, Services) {
        let folder = tempfile::Builder::new().prefix("steep-own-").tempdir().expect("a temporary folder");
        let start = |name: &str| -> std::path::PathBuf { Path::join(folder.path(), name) };
        let rabbitmq = RabbitMq::start(&start("rabbitmq")).expect("a broker");
        let mongodb = MongoDb::start(&start("mongodb")).expect("a database");
        let services =
            Services { rabbitmq: rabbitmq.url(), management: rabbitmq.management_url(), mongodb: mongodb.url() };
        (Self { rabbitmq, mongodb, _folder: folder }, services)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_accepted_while_the_broker_is_stopped_finish_when_it_is_back() {
    let (mut own, services) = Own::start();
    let env = TestEnv::start_on(services).await;
    let (api, _worker) = (env.api().await, env.worker().await);
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;

    own.rabbitmq.stop().expect("it stops");
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push(user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0));
    }
    TestEnv::until("readiness names it", || async {
        let ready = user.get("/readyz").await.expect(200);
        ready.body["dependencies"]["rabbitmq"]["state"] == "down"
    })
    .await;
    own.rabbitmq.start_again().expect("it is back");
    for job in jobs {
        user.wait_for_job(&job, &["completed"]).await;
    }
    assert_eq!(env.media().assets().len(), 11);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_transaction_commits_while_the_broker_is_stopped_is_published_when_it_is_back() {
    let (mut own, services) = Own::start();
    let env = TestEnv::start_on(services).await;
    env.host().listen().await;
    let media = env.media().base_url().trim_start_matches("http://").parse().expect("an address");
    let media = Proxy::start(media).await.expect("a port");
    let api = env.api().await;
    let _worker = env
        .worker_with(|config| {
            config.cloudinary.timeout = Duration::from_secs(120);
            config.cloudinary.upload_prefix = format!("http://{}", media.address).parse().expect("an address");
        })
        .await;

    media.set(Passage::Held);
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    TestEnv::until("the upload is under way", async || media.open() > 0).await;
    own.rabbitmq.stop().expect("it stops");
    media.set(Passage::Open);
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    let events = env.database().collection::<Document>("events");
    let unpublished = || async { events.find_one(doc! { "dueAt": { "$exists": true } }).await.expect("an answer") };
    let waiting = unpublished().await.expect("nobody can have published it");
    own.rabbitmq.start_again().expect("it is back");
    let first = env.host().next_message().await;
    assert_eq!(
        (Some(first.id.to_string().as_str()), first.event.kind()),
        (waiting.get_str("_id").ok(), "media.ready.v1")
    );
    TestEnv::until("it is noted as published", async || unpublished().await.is_none()).await;

    // The note of that is lost.
    let lost = doc! { "$set": { "dueAt": DateTime::from_millis(0) } };
    assert_eq!(events.update_many(doc! {}, lost).await.expect("an answer").modified_count, 1);
    assert_eq!(env.host().next_message().await, first);
    TestEnv::until("it is noted again", async || unpublished().await.is_none()).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_worker_dies_with_the_broker_runs_elsewhere_once_the_broker_is_back() {
    let (mut own, services) = Own::start();
    let env = TestEnv::start_on(services).await;
    let api = env.api().await;
    env.media().install_fault(Fault::new(Effect::Hang { at: Moment::BeforeStoring }).on("upload"));
    let mut dying = support::worker(&env, "dying").await;
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    TestEnv::until("the upload is under way", async || env.media().traffic().upload_requests > 0).await;
    let survivor = support::worker(&env, "survivor").await;

    env.media().clear_faults();
    own.rabbitmq.kill().expect("it ran");
    dying.kill();
    own.rabbitmq.start_again().expect("it is back");
    let back = OffsetDateTime::now_utc();
    // RabbitMQ may lose a queue under which it was killed: one time in eight here. Then another one takes its place.
    TestEnv::until("the queue works, or is known not to", async || {
        let said = survivor.printed().expect("a log");
        said.matches("consuming queue=\"media.upload.").count() > 1 || said.contains("the queue does not work")
    })
    .await;
    let is_lost = survivor.printed().expect("a log").contains("the queue does not work");
    if is_lost {
        println!("the broker has lost the queue");
        // After a minute of trials.
        let deadline = Instant::now() + Duration::from_secs(180);
        while survivor.printed().expect("a log").matches("consuming queue=\"media.upload.").count() < 2 {
            assert!(Instant::now() < deadline, "no other queue takes its place");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let job = user.wait_for_job(&answer.job(0), &["completed"]).await;
    let begun = job["attempts"][1]["startedAt"].as_str().expect("a second attempt");
    let begun = OffsetDateTime::parse(begun, &Rfc3339).expect("a time");
    println!("running elsewhere {} after the broker was back", begun - back);
    // The lease alone would bring it back after half a minute.
    assert!(is_lost || begun - back <= Duration::from_secs(5), "{}", begun - back);
    let outcomes: Vec<_> =
        job["attempts"].as_array().into_iter().flatten().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["crashed", "completed"], "{job}");
    env.finish().await;
}

/// As a backup may leave it that was broken off: it answers, and takes no writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_writes_is_down_in_readiness_and_up_again_by_itself() {
    let (_own, services) = Own::start();
    let env = TestEnv::start_on(services).await;
    let (api, worker) = (env.api().await, env.worker().await);
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    TestEnv::until("the worker is ready", async || worker.readiness().ready).await;

    let admin = env.database().client().database("admin");
    let began = Instant::now();
    admin.run_command(doc! { "fsync": 1, "lock": true }).await.expect("locked");
    let ready = worker.readiness().ready;
    assert!(ready || began.elapsed() > Duration::from_secs(4), "a hiccup is none");
    TestEnv::until("the api names it", async || {
        let ready = user.get("/readyz").await;
        let mongodb = &ready.body["dependencies"]["mongodb"];
        ready.status == 503
            && mongodb["state"] == "down"
            && mongodb["detail"].as_str().is_some_and(|why| why.contains("writes"))
    })
    .await;
    println!("named after {:?}", began.elapsed());
    assert!(began.elapsed() >= Duration::from_secs(3), "a hiccup is none: {:?}", began.elapsed());
    assert_eq!(user.get("/healthz").await.status, 200, "a restart mends nothing");
    TestEnv::until("the worker names it", async || {
        let readiness = worker.readiness();
        !readiness.ready && readiness.dependencies["mongodb"].contains("takes no writes")
    })
    .await;
    user.submit("a.jpg", jpeg(2_000)).await.expect(503);

    admin.run_command(doc! { "fsyncUnlock": 1 }).await.expect("let go");
    TestEnv::until("the api is ready again", async || user.get("/readyz").await.status == 200).await;
    TestEnv::until("the worker is ready again", async || worker.readiness().ready).await;
    let answer = user.submit("a.jpg", jpeg(2_000)).await.expect(202);
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_uploads_are_refused_in_time_and_leave_nothing() {
    let (mut own, services) = Own::start();
    let env = TestEnv::start_on(services).await;
    let (api, _worker) = (env.api().await, env.worker().await);
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;

    own.mongodb.kill().expect("it ran");
    let refused = user.submit("a.jpg", jpeg(2_000)).await.expect(503);
    assert_ne!(refused.header("retry-after"), "", "{}", refused.body);
    TestEnv::until("no file is left", async || env.spooled_files() == 0).await;
    own.mongodb.start_again().expect("it is back");
    TestEnv::until("the api is ready again", || async { user.get("/readyz").await.status == 200 }).await;
    let answer = user.submit("a.jpg", jpeg(2_000)).await.expect(202);
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    env.finish().await;
}
