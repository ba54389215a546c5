//! Every metric of the table is there and moves, and there is no other.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use cloudinary_local::{Effect, Fault, Moment};
use messages::topology::JOBS_EXCHANGE;
use messages::{FileId, Payload, UploadMedia};
use meters::{
    BROKER_BLOCKED, BROKER_RECONNECTS, BROKER_UP, BUILD_INFO, CHANNELS_DIRTY, CLOCK_OFFSET, CRASHES_DENIED,
    DEAD_LETTERS, DUPLICATES_ABSORBED, HTTP_REQUEST, JOB_ATTEMPTS, JOBS, JOBS_UNPUBLISHED, MEDIA_HOST_RATE_LIMIT,
    Metric, OLDEST_JOB_AGE, Programs, RECOMPUTE_LAG, SPOOL_BYTES, SPOOL_FILES, SPOOL_FREE_BYTES, SPOOL_FREE_INODES,
    SWEPT_FILES, TABLE, TAKEOVERS, UPLOADS_REFUSED, WEBHOOK_DELIVERIES, WORKER_SLOTS, WORKER_SLOTS_USED,
};
use reqwest::Method;
use serde_json::json;
use store::{Claim, ClaimRequest, Rescue};
use testkit::proxy::{Passage, Proxy};
use testkit::{Client, FORM_TYPE, Leftovers, Process, Services, TestEnv, Upload, Wire, jpeg, process, tools};
use xtask::services::RabbitMq;

use super::away::{start_api, start_watched_worker};
use super::watch::{Watch, promtool};
use crate::support::let_files_grow_old;

/// What says the same for as long as a program lives, or changes by what others do to this machine.
static STILL: [&Metric; 5] = [
    &BUILD_INFO.metric,
    &CLOCK_OFFSET.metric,
    &WORKER_SLOTS.metric,
    &SPOOL_FREE_BYTES.metric,
    &SPOOL_FREE_INODES.metric,
];

struct Story {
    env: TestEnv,
    rabbitmq: RabbitMq,
    client: Client,
    of_api: Watch,
    of_worker: Watch,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_table_is_there_and_moves_and_there_is_no_other() {
    let folder = tempfile::Builder::new().prefix("steep-own-").tempdir().expect("a temporary folder");
    let rabbitmq = RabbitMq::start(folder.path()).expect("a broker");
    let services = Services { rabbitmq: rabbitmq.url(), management: rabbitmq.management_url(), ..Services::from_env() };
    let env = TestEnv::start_on(services).await;

    // Of the api's database alone, so that it can hang.
    let database = Services::from_env().mongodb;
    let database = database.trim_start_matches("mongodb://").split(['/', '?']).next().unwrap_or_default().to_owned();
    let database = Proxy::start(database.parse().expect("one server")).await.expect("a port");
    let uri = format!("mongodb://{}/?directConnection=true", database.address);
    let port = process::free_address().expect("a free port").port();
    let (api, of_api) = start_api(&env, &[("PORT", port.to_string()), ("MONGODB_URI", uri)]);
    let quick = [
        ("WORKER_SWEEP_EVERY", "1s"),
        ("WORKER_SWEEP_GRACE", "1m"),
        ("WORKER_LEASE", "5s"),
        ("WORKER_SHUTDOWN_LIMIT", "5s"),
    ];
    let quick = quick.map(|(name, value)| (name, value.to_owned()));
    let (worker, of_worker) = start_watched_worker(&env, "worker", &quick);
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    let mut story = Story { env, rabbitmq, client, of_api, of_worker };
    story.of_api.until_line("steep_ready 1").await;
    story.of_worker.until_line("steep_ready 1").await;

    let user = story.uploads().await;
    story.a_webhook(&user).await;
    story.letters().await;
    story.a_doubted_worker(&user).await;
    story.an_alarm(&user).await;
    story.an_outage().await;
    story.files_of_nobody().await;
    story.a_silent_database(&database).await;
    story.the_end(api, worker, &user).await;

    check(&story.of_api, Programs::Worker);
    check(&story.of_worker, Programs::Api);
    lint(&story.of_api.text);
    lint(&story.of_worker.text);
    let (_worker, _) = start_watched_worker(&story.env, "another-worker", &[]);
    story.env.finish_with(Leftovers { dead_letters: 1, ..Leftovers::default() }).await;
}

impl Story {
    /// One that succeeds, twice, and one that is refused. The media host tells how much it still allows.
    async fn uploads(&mut self) -> Client {
        let budget = Effect::Budget { limit: 1_000_000, window_seconds: 3600 };
        self.env.media().install_fault(Fault::new(budget));
        let (user, answer) = self.client.new_user(jpeg(20_000)).await;
        user.wait_for_job(&answer.job(0), &["completed"]).await;
        for _ in 0..2 {
            let form = Upload::new().file("file", "a.jpg", jpeg(2_000));
            let request = user.request(Method::POST, "/api/v1/media").header("idempotency-key", "once");
            let job = user.send(request.multipart(form.form())).await.expect(202).job(0);
            user.wait_for_job(&job, &["completed"]).await;
        }
        user.submit("a.jpg", "no picture".into()).await.expect(415);
        self.of_api.until_moved(&[&UPLOADS_REFUSED.metric, &HTTP_REQUEST.metric, &DUPLICATES_ABSORBED.metric]).await;
        let stream = user.follow("/api/v1/events", None).await.expect("a stream");
        self.of_api.until_line("steep_event_streams 1").await;
        drop(stream);
        // Sooner than anything is written to it.
        self.of_api.until_line("steep_event_streams 0").await;
        assert!(self.of_api.text.contains("http_route=\"/api/v1/jobs/{id}\""), "{}", self.of_api.text);
        assert!(self.of_api.has("steep_uploads_refused_total{reason=\"unsupported-type\"} 1"), "{}", self.of_api.text);
        self.of_worker.until_moved(&[&JOB_ATTEMPTS.metric, &MEDIA_HOST_RATE_LIMIT.metric]).await;
        user
    }

    /// An endpoint at which nobody listens, and which is removed before it is asked again.
    async fn a_webhook(&mut self, user: &Client) {
        let nobody = process::free_address().expect("a free port");
        let new = json!({"url": format!("http://{nobody}/"), "events": ["media.ready.v1"]});
        let made = user.post("/api/v1/webhook-endpoints", &new).await.expect(201);
        let job = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
        user.wait_for_job(&job, &["completed"]).await;
        self.of_worker.until_moved(&[&WEBHOOK_DELIVERIES.metric]).await;
        let path = format!("/api/v1/webhook-endpoints/{}", made.data()["id"].as_str().expect("an id"));
        user.send(user.request(Method::DELETE, &path)).await.expect(200);
    }

    /// A message that nobody understands, and one about a job that has ended.
    async fn letters(&mut self) {
        let path = format!("/api/exchanges/{}/{JOBS_EXCHANGE}/publish", self.env.name());
        let key = UploadMedia::QUEUE.of(self.env.spool().id());
        let ended = self.env.database().collection::<mongodb::bson::Document>("jobs");
        let ended = ended.find_one(mongodb::bson::doc! { "state": "completed", "kind": UploadMedia::KIND }).await;
        let ended = ended.expect("an answer").expect("a job");
        let job = self.env.store().jobs().find(ended.get_str("_id").expect("an id").parse().expect("an id")).await;
        let job = job.expect("an answer").expect("a job");
        let again = messages::Envelope::new(job.id, job.job().expect("a known kind"), None).encode();
        for payload in ["no envelope".to_owned(), String::from_utf8(again).expect("JSON")] {
            let message =
                json!({"properties": {}, "routing_key": key, "payload": payload, "payload_encoding": "string"});
            self.env.host().send(Method::POST, &path, Some(message)).await;
        }
        self.of_worker.until_moved(&[&DEAD_LETTERS.metric, &DUPLICATES_ABSORBED.metric]).await;
        self.of_api.until_moved(&[&DEAD_LETTERS.metric]).await;
    }

    /// A worker that is taken to have vanished while it uploads; and whoever took its job over does vanish.
    async fn a_doubted_worker(&mut self, user: &Client) {
        self.env.media().clear_faults();
        self.env.media().install_fault(Fault::new(Effect::Hang { at: Moment::BeforeStoring }).on("upload"));
        let job = user.submit("a.jpg", jpeg(30_000)).await.expect(202).job(0);
        user.wait_for_job(&job, &["running"]).await;
        self.of_worker.until_moved(&[&WORKER_SLOTS_USED.metric, &SPOOL_FILES.metric, &SPOOL_BYTES.metric]).await;
        self.of_worker.until_moved(&[&JOBS.metric]).await;
        self.of_api.until_moved(&[&JOBS.metric]).await;

        let id = job.parse().expect("an id");
        let held = self.env.store().jobs().find(id).await.expect("an answer").expect("a job");
        let rescue = Rescue::HolderGone { worker: held.worker.expect("a worker") };
        let (lease, max_crashes) = (Duration::from_secs(1), 9);
        let request = ClaimRequest { worker: "another", lease, rescue: &rescue, max_crashes, exclusive: true };
        let claim = self.env.store().jobs().claim(id, &request).await.expect("an answer");
        assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
        self.of_worker.until_moved(&[&CRASHES_DENIED.metric]).await;
        self.env.media().clear_faults();
        self.of_worker.until_moved(&[&TAKEOVERS.metric]).await;
        assert!(self.of_worker.has("steep_takeovers_total{reason=\"lease\"} 1"), "{}", self.of_worker.text);
        user.wait_for_job(&job, &["completed"]).await;
    }

    /// The broker takes no messages: uploads and changes that are counted wait.
    async fn an_alarm(&mut self, user: &Client) {
        self.rabbitmq.control(&["set_vm_memory_high_watermark", "0"]).expect("an alarm");
        let job = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
        for watch in [&mut self.of_api, &mut self.of_worker] {
            watch.until_moved(&[&BROKER_BLOCKED.metric]).await;
        }
        let channel = user.current_user().await["_id"].as_str().expect("an id").to_owned();
        let (other, _) = self.client.new_user(jpeg(1_000)).await;
        let path = format!("/api/v1/subscriptions/c/{channel}");
        other.send(other.request(Method::POST, &path)).await.expect(200);
        for watch in [&mut self.of_api, &mut self.of_worker] {
            watch.until_moved(&[&JOBS_UNPUBLISHED.metric, &OLDEST_JOB_AGE.metric]).await;
            watch.until_moved(&[&CHANNELS_DIRTY.metric, &RECOMPUTE_LAG.metric]).await;
        }
        self.rabbitmq.control(&["set_vm_memory_high_watermark", "0.6"]).expect("no alarm");
        user.wait_for_job(&job, &["completed"]).await;
    }

    async fn an_outage(&mut self) {
        self.rabbitmq.stop().expect("it stops");
        for watch in [&mut self.of_api, &mut self.of_worker] {
            watch.until_line("steep_broker_up 0").await;
        }
        self.of_worker.until_line("steep_ready 0").await;
        self.rabbitmq.start_again().expect("it is back");
        self.of_worker.until_line("steep_ready 1").await;
        for watch in [&mut self.of_api, &mut self.of_worker] {
            watch.until_moved(&[&BROKER_UP.metric, &BROKER_RECONNECTS.metric]).await;
        }
    }

    /// The api's database does not answer: what it tells of it goes, and comes again.
    async fn a_silent_database(&mut self, database: &Proxy) {
        let api = &mut self.of_api;
        database.set(Passage::Held);
        api.until_line("steep_ready 0").await;
        let jobs = |watch: &Watch| watch.text.contains("\nsteep_jobs{");
        api.until("the jobs are absent", |watch| !jobs(watch)).await;
        database.set(Passage::Open);
        api.until_line("steep_ready 1").await;
        api.until("the jobs are there", jobs).await;
    }

    /// A killed api has left one.
    async fn files_of_nobody(&mut self) {
        let name = FileId::new().to_string();
        File::create(self.env.folder().join("spool/incoming").join(name)).expect("a file");
        let_files_grow_old(&self.env);
        self.of_worker.until_moved(&[&SWEPT_FILES.metric]).await;
    }

    /// Both are told to stop while they have something to do.
    async fn the_end(&mut self, mut api: Process, mut worker: Process, user: &Client) {
        self.env.media().install_fault(Fault::new(Effect::Hang { at: Moment::BeforeStoring }).on("upload"));
        let job = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
        user.wait_for_job(&job, &["running"]).await;
        worker.terminate();
        self.of_worker.until_line("steep_draining 1").await;
        process::until_ended(&mut worker).await.expect("it ends");

        let mut wire = Wire::open(&self.client).await;
        let headers = [("content-type", FORM_TYPE), ("content-length", "1000"), ("expect", "100-continue")];
        wire.head("POST", "/api/v1/users/register", &headers).await;
        assert!(wire.read_on("HTTP/1.1 100 Continue\r\n\r\n".len()).await, "it is under way");
        api.terminate();
        self.of_api.until_line("steep_draining 1").await;
        drop(wire);
        process::until_ended(&mut api).await.expect("it ends");
        self.env.media().clear_faults();
    }
}

fn check(watch: &Watch, other: Programs) {
    let own: Vec<&Metric> = TABLE.iter().copied().filter(|metric| metric.programs != other).collect();
    let expected: BTreeSet<&str> = own.iter().map(|metric| metric.name).collect();
    let mut names = watch.names();
    // Some filesystems have no limit.
    names.insert(SPOOL_FREE_INODES.metric.name);
    assert_eq!(names, expected, "{}", watch.url);
    let still = |metric: &Metric| STILL.iter().any(|still| still.name == metric.name);
    let stuck = own.iter().filter(|metric| !still(metric) && !watch.has_moved(metric.name));
    let stuck: Vec<&str> = stuck.map(|metric| metric.name).collect();
    assert!(stuck.is_empty(), "{stuck:?} of {} did not move", watch.url);
}

fn lint(text: &str) {
    let Some(promtool) = promtool() else {
        return tools::skip("the text of /metrics was not checked", "promtool is not on this machine");
    };
    let mut checker = Command::new(promtool);
    checker.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped());
    let mut child = checker.spawn().expect("promtool");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("it reads");
    let said = child.wait_with_output().expect("promtool");
    let problems = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && problems.is_empty(), "{problems}");
}
