//! A broker that is there and loses, forgets or refuses what it should keep. Tests of one that is away are in `outages`.

use std::time::Duration;

use messages::topology::{DEAD_EXCHANGE, former, present};
use messages::{Payload, UploadMedia};
use mongodb::bson::{DateTime, Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::proxy::{Passage, Proxy};
use testkit::{Api, Client, Services, TestEnv, jpeg, secrets};
use xtask::services::RabbitMq;

/// A broker of a test's own.
struct Broker {
    rabbitmq: RabbitMq,
    folder: tempfile::TempDir,
}

impl Broker {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("steep-own-").tempdir().expect("a temporary folder");
        let rabbitmq = RabbitMq::start(folder.path()).expect("a broker");
        Self { rabbitmq, folder }
    }

    async fn env(&self) -> TestEnv {
        let (rabbitmq, management) = (self.rabbitmq.url(), self.rabbitmq.management_url());
        TestEnv::start_on(Services { rabbitmq, management, ..Services::from_env() }).await
    }

    /// Runs Erlang in it.
    fn eval(&self, expression: &str) {
        self.rabbitmq.control(&["eval", expression]).expect("it is evaluated");
    }

    /// What it has logged.
    fn log(&self) -> String {
        let files = std::fs::read_dir(self.folder.path().join("log")).into_iter().flatten().flatten();
        let logs = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "log"));
        logs.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    }
}

impl Drop for Broker {
    /// Its log goes with it: of a test that failed, the end is shown.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            tracing::error!("the broker's log ends so:\n{}", lines[lines.len().saturating_sub(80)..].join("\n"));
        }
    }
}

/// Deletes the members of a queue, by the broker's name of it, that the broker goes on to list.
fn break_queue(broker: &Broker, env: &TestEnv, name: &str) {
    let host = env.name();
    broker.eval(&format!(
        "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{host}\">>, queue, <<\"{name}\">>)), \
         ok = ra:force_delete_server(quorum_queues, amqqueue:get_pid(Q))."
    ));
}

/// Gives a queue a second member that does not exist: its leader lives and answers, and nothing is ever confirmed.
fn take_majority(broker: &Broker, env: &TestEnv, name: &str) {
    let host = env.name();
    broker.eval(&format!(
        "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{host}\">>, queue, <<\"{name}\">>)), \
         ra:add_member(amqqueue:get_pid(Q), {{nobody, node()}}, 1000)."
    ));
}

fn queue_of_uploads(env: &TestEnv) -> String {
    UploadMedia::QUEUE.of(env.spool().id())
}

/// An upload whose message waits at the broker, for want of a worker.
async fn queued_upload(env: &TestEnv) -> (Api, Client, String) {
    let api = env.api().await;
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    let queued = answer.job(0);
    user.wait_for_job(&queued, &["queued"]).await;
    (api, user, queued)
}

fn says_of_the_broker(worker: &worker::Running) -> String {
    worker.readiness().dependencies["rabbitmq"].clone()
}

/// What a worker answers that serves its health.
async fn readyz(worker: &worker::Running) -> Value {
    let address = worker.health().expect("it is served");
    reqwest::get(format!("http://{address}/readyz")).await.expect("an answer").json().await.expect("JSON")
}

/// How many lines of this process's log have all of these in them.
fn logged(texts: &[&str]) -> usize {
    secrets::logged().lines().filter(|line| texts.iter().all(|text| line.contains(text))).count()
}

/// A worker that is well again says that it replaced a queue, and its log says so of that one.
async fn tells_of_one_replaced(worker: &worker::Running, queue: &str, lines: &[&str]) {
    let ready = readyz(worker).await;
    assert_eq!((&ready["ready"], &ready["replacedQueues"]), (&json!(true), &json!(1)), "{ready}");
    for line in lines {
        assert!(logged(&[line, queue]) > 0, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_in_a_queue_that_lost_its_server_are_done_from_another_in_its_place() {
    let broker = Broker::start();
    let env = broker.env().await;
    let (_api, user, queued) = queued_upload(&env).await;
    let queue = queue_of_uploads(&env);
    break_queue(&broker, &env, &present(&queue));
    let accepted = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);

    let worker = env.worker_with(|config| {
        config.broker.replace_after = Duration::from_secs(3);
        config.settings.health = Some(([127, 0, 0, 1], 0).into());
    });
    let worker = worker.await;
    TestEnv::until("readiness names the queue", async || {
        let ready = readyz(&worker).await;
        let said = ready["dependencies"]["rabbitmq"].as_str().unwrap_or_default();
        ready["ready"] == false && said.contains(&queue) && said.contains("is replaced after 3s")
    })
    .await;
    for job in [queued, accepted] {
        let job = user.wait_for_job(&job, &["completed"]).await;
        assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{job}");
    }
    TestEnv::until("it consumes", async || says_of_the_broker(&worker) == "consuming").await;
    let said = [
        "the queue has not worked for long although the broker does: replacing it",
        "another queue has taken its place, and its jobs are published again",
    ];
    tells_of_one_replaced(&worker, &queue, &said).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_in_a_queue_of_an_earlier_version_that_lost_its_server_are_published_again() {
    let broker = Broker::start();
    let env = broker.env().await;
    let (_api, user, queued) = queued_upload(&env).await;
    // As if a program of the earlier version had published it: no queue of ours has its message.
    let (queue, host) = (queue_of_uploads(&env), env.name());
    let earlier = former(&queue).remove(0);
    let arguments = json!({
        "x-queue-type": "quorum",
        "x-delivery-limit": 100_000,
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        "x-max-length": 1_000_000,
    });
    let declaration = json!({"durable": true, "arguments": arguments});
    env.host().send(Method::PUT, &format!("/api/queues/{host}/{earlier}"), Some(declaration)).await;
    env.host().send(Method::DELETE, &format!("/api/queues/{host}/{}/contents", present(&queue)), None).await;
    break_queue(&broker, &env, &earlier);

    let worker = env.worker_with(|config| config.settings.health = Some(([127, 0, 0, 1], 0).into())).await;
    TestEnv::until("it is gone", async || !env.host().queues().await.contains(&earlier)).await;
    let job = user.wait_for_job(&queued, &["completed"]).await;
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{job}");
    let said = ["deleted a queue of an earlier version", "their queue was replaced: publishing them again"];
    tells_of_one_replaced(&worker, &queue, &said).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_loses_its_server_under_a_worker_is_replaced_and_the_others_are_consumed_meanwhile() {
    let broker = Broker::start();
    let env = broker.env().await;
    let api = env.api().await;
    let worker = env.worker_with(|config| config.broker.replace_after = Duration::from_secs(5)).await;
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    break_queue(&broker, &env, &present("media.delete"));
    TestEnv::until("readiness names the queue", async || {
        says_of_the_broker(&worker).contains("media.delete: the queue does not work")
    })
    .await;
    // Its deletion waits, and the upload does not.
    let job = user.replace_avatar(jpeg(3_000)).await.expect(202).job(0);
    user.wait_for_job(&job, &["completed"]).await;
    TestEnv::until("it consumes", async || says_of_the_broker(&worker) == "consuming").await;
    assert_eq!(worker.readiness().replaced_queues, 1);
    TestEnv::until("the old avatar is deleted", async || env.media().assets().len() == 1).await;
    env.finish().await;
}

/// It is quiet, knows its consumer and says that nothing waits.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_for_a_queue_that_lost_its_majority_are_done_from_another_in_its_place() {
    let broker = Broker::start();
    let env = broker.env().await;
    let api = env.api().await;
    let worker = env.worker_with(|config| {
        config.broker.replace_after = Duration::from_secs(3);
        config.broker.prove_every = Duration::from_secs(1);
        config.settings.health = Some(([127, 0, 0, 1], 0).into());
    });
    let worker = worker.await;
    TestEnv::until("it consumes", async || says_of_the_broker(&worker) == "consuming").await;
    let queue = queue_of_uploads(&env);
    take_majority(&broker, &env, &present(&queue));
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    TestEnv::until("it is tried", async || says_of_the_broker(&worker).contains("is replaced after 3s")).await;
    // Each question to such a queue takes ten seconds, and its deletion up to thirty.
    TestEnv::until("it is being replaced", async || logged(&["replacing it", &queue]) > 0).await;
    TestEnv::until("another takes its place", async || worker.readiness().replaced_queues == 1).await;
    let job = user.wait_for_job(&answer.job(0), &["completed"]).await;
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{job}");
    TestEnv::until("it consumes", async || says_of_the_broker(&worker) == "consuming").await;
    let said = ["the queue is quiet and does not answer", "another queue has taken its place"];
    tells_of_one_replaced(&worker, &queue, &said).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_supervisor_of_its_dead_letter_workers_a_broker_serves_us_all_the_same() {
    let broker = Broker::start();
    // As a burst of failing workers ends it.
    broker.eval("ok = supervisor:terminate_child(rabbit_sup, rabbit_fifo_dlx_sup).");
    let env = broker.env().await;
    let (api, _worker) = (env.api().await, env.worker().await);
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_host_made_anew_without_permissions_loses_nothing_and_is_used_once_they_are_there() {
    let broker = Broker::start();
    let env = broker.env().await;
    let (_api, user, queued) = queued_upload(&env).await;
    let host = format!("/api/vhosts/{}", env.name());
    env.host().send(Method::DELETE, &host, None).await;
    env.host().send(Method::PUT, &host, None).await;
    let worker = env.worker_with(|config| config.settings.look_for_lost_every = Duration::from_millis(200)).await;
    TestEnv::until("the worker names the cause", async || {
        says_of_the_broker(&worker).contains("check user, password and virtual host in RABBITMQ_URL")
    })
    .await;
    TestEnv::until("the api is ready and names the broker", || async {
        let ready = user.get("/readyz").await.expect(200);
        ready.body["dependencies"]["rabbitmq"]["state"] == "down"
    })
    .await;
    let mut jobs = vec![queued.clone()];
    for _ in 0..3 {
        jobs.push(user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0));
    }
    let tries = || logged(&["waiting for the broker", "consumer"]);
    let before = tries();
    TestEnv::until("it has tried again, ever more rarely", async || tries() >= before + 4).await;

    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    for name in ["guest", env.name()] {
        let path = format!("/api/permissions/{}/{name}", env.name());
        env.host().send(Method::PUT, &path, Some(all.clone())).await;
    }
    TestEnv::until("it consumes", async || says_of_the_broker(&worker) == "consuming").await;
    // Its message went with the virtual host. A minute passes until that is looked for.
    let documents = env.database().collection::<Document>("jobs");
    let due = doc! { "$set": { "dueAt": DateTime::now() } };
    documents.update_one(doc! { "_id": queued.as_str() }, due).await.expect("the database");
    for job in jobs {
        let job = user.wait_for_job(&job, &["completed"]).await;
        assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{job}");
    }
    assert_eq!(worker.readiness().replaced_queues, 0);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_longer_than_the_brokers_patience_is_sent_once_in_one_attempt_and_so_are_its_neighbours() {
    let broker = Broker::start();
    // 30 minutes and one minute, by default.
    broker.eval("application:set_env(rabbit, consumer_timeout, 2000), application:set_env(rabbit, channel_tick_interval, 1000).");
    let env = broker.env().await;
    let media = env.media().base_url().trim_start_matches("http://").parse().expect("an address");
    let media = Proxy::start(media).await.expect("a port");
    let api = env.api().await;
    let mut workers = Vec::new();
    for _ in 0..2 {
        let worker = env.worker_with(|config| {
            config.cloudinary.timeout = Duration::from_secs(120);
            config.cloudinary.upload_prefix = format!("http://{}", media.address).parse().expect("an address");
        });
        workers.push(worker.await);
    }
    for worker in &workers {
        TestEnv::until("it consumes", async || says_of_the_broker(worker) == "consuming").await;
    }
    let queue = queue_of_uploads(&env);
    // Of some versions the broker says so itself; others cancel the consumer without a word in their log.
    let interrupted = || logged(&["not consuming", &queue]);
    let before = interrupted();
    media.set(Passage::Held);
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    let mut jobs = vec![answer.job(0)];
    for _ in 0..2 {
        jobs.push(user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0));
    }
    for job in &jobs {
        user.wait_for_job(job, &["running"]).await;
    }
    TestEnv::until("the broker has lost patience, several times or with all that it had", async || {
        let times = interrupted() - before;
        times >= 3 || (times > 0 && env.host().job_messages().await == 0)
    })
    .await;
    media.set(Passage::Open);
    for job in jobs {
        let job = user.wait_for_job(&job, &["completed"]).await;
        let outcomes: Vec<_> =
            job["attempts"].as_array().into_iter().flatten().map(|attempt| &attempt["outcome"]).collect();
        assert_eq!((outcomes, &job["failures"]), (vec![&json!("completed")], &json!(0)), "{job}");
    }
    assert_eq!((env.media().traffic().upload_requests, env.media().assets().len()), (3, 3));
    let version = env.host().send(Method::GET, "/api/overview", None).await["rabbitmq_version"].clone();
    println!("RabbitMQ {version} lost patience {} times", interrupted() - before);
    if version.as_str().is_some_and(|version| version.starts_with("3.")) {
        // It writes its log a little later.
        let says_so = async || broker.log().contains("timed out waiting for delivery acknowledgement");
        TestEnv::until("the broker says so itself", says_so).await;
    }
    env.finish().await;
}
