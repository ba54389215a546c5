//! Trouble in the neighbourhood: services that are there and do not do what they should. Tests of services that are away are in
//! `outages`. docs/operations.md tells what an operator sees of each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cloudinary_local::{Effect, Fault, Moment};
use mongodb::bson::{DateTime, Document, doc};
use serde_json::Value;
use spool::Spool;
use testkit::{Client, FORM_TYPE, Process, RawForm, Services, TestEnv, Wire, jpeg, mp4, process, tools};
use xtask::services::mongodb::wire::{self, Role};
use xtask::services::{MongoDb, RabbitMq, ports};

use crate::support;

/// A folder for services of a test's own.
fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("steep-own-").tempdir().expect("a temporary folder")
}

async fn until_ready(api: &Client) {
    TestEnv::until("the api is ready", || async { api.get("/readyz").await.status == 200 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_an_alarm_of_the_broker_uploads_are_accepted_and_those_in_its_queue_are_done() {
    let folder = folder();
    let rabbitmq = RabbitMq::start(folder.path()).expect("a broker");
    let services = Services { rabbitmq: rabbitmq.url(), management: rabbitmq.management_url(), ..Services::from_env() };
    let env = TestEnv::start_on(services).await;
    let api = env.api().await;
    let memory = [["set_vm_memory_high_watermark", "0"], ["set_vm_memory_high_watermark", "0.6"]];
    let disk = [["set_disk_free_limit", "1000000GB"], ["set_disk_free_limit", "200MB"]];
    for [raise, clear] in [memory, disk] {
        let (user, answer) = api.new_user(jpeg(1_000)).await;
        let queued = answer.job(0);
        user.wait_for_job(&queued, &["queued"]).await;
        rabbitmq.control(&raise).expect("an alarm");

        let accepted = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
        TestEnv::until("readiness names it", || async {
            let ready = user.get("/readyz").await.expect(200);
            let told = &ready.body["dependencies"]["rabbitmq"];
            told["state"] == "down"
                && told["detail"].as_str().is_some_and(|detail| detail.contains("takes no messages"))
        })
        .await;
        let worker = env.worker().await;
        user.wait_for_job(&queued, &["completed"]).await;
        user.wait_for_job(&accepted, &["pending"]).await;
        TestEnv::until("it consumes", async || worker.readiness().dependencies["rabbitmq"] == "consuming").await;

        rabbitmq.control(&clear).expect("no alarm");
        user.wait_for_job(&accepted, &["completed"]).await;
        worker.shutdown(std::future::pending()).await;
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_steps_down_uploads_are_taken_or_refused_in_time_and_none_is_lost() {
    let folder = folder();
    let mongodb = MongoDb::start(folder.path()).expect("a database");
    let env = TestEnv::start_on(Services { mongodb: mongodb.url(), ..Services::from_env() }).await;
    let api = env.api().await;
    let _worker = env.worker_with(|config| config.settings.sweep_every = Duration::from_millis(200)).await;
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;

    let port = mongodb.port();
    let down = doc! { "replSetStepDown": 3, "secondaryCatchUpPeriodSecs": 1, "force": true };
    wire::command(port, down).expect("it steps down");
    assert_eq!(wire::role(port).expect("it answers"), Role::NotYet);
    let mut answers = tokio::task::JoinSet::new();
    while wire::role(port).expect("it answers") != Role::Primary {
        let user = user.clone();
        answers.spawn(async move { user.submit("a.jpg", jpeg(2_000)).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answers = answers.join_all().await;
    assert!(answers.len() > 3, "it was primary again at once");
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for answer in answers {
        if answer.status == 202 {
            accepted.push(answer.job(0));
        } else {
            assert_ne!(answer.expect(503).header("retry-after"), "");
            refused += 1;
        }
    }
    println!("{} were taken and {refused} refused", accepted.len());
    until_ready(&user).await;
    for job in accepted {
        user.wait_for_job(&job, &["completed"]).await;
    }
    let job = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
    user.wait_for_job(&job, &["completed"]).await;
    // A commit whose outcome nobody knows leaves its file to the sweeper.
    support::let_files_grow_old(&env);
    env.finish().await;
}

/// Names the folder on which a test that runs a second time has a small disk.
const SMALL_DISK: &str = "STEEP_TEST_SMALL_DISK";

/// Runs a test once more where it may mount, which needs no root: in namespaces of its own, gone with it. There it answers with
/// the folder on which a disk of 8 MiB and 64 inodes is mounted.
fn small_disk(test: &str) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(SMALL_DISK) {
        return Some(disk.into());
    }
    let folder = folder();
    let namespaces = || {
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "--", "/bin/sh", "-c"]);
        command
    };
    let mount = "mount -t tmpfs -o size=8m,nr_inodes=64 steep-test \"$0\"";
    let tried = namespaces().arg(mount).arg(folder.path()).output();
    if !tried.as_ref().is_ok_and(|output| output.status.success()) {
        tools::skip(test, &format!("nobody but root may mount anything here: {tried:?}"));
        return None;
    }
    let mut again = namespaces();
    again.arg(format!("{mount} && exec \"$@\"")).arg(folder.path());
    again.arg(std::env::current_exe().expect("this test's own path")).args([test, "--exact", "--nocapture"]);
    let status = again.env(SMALL_DISK, folder.path()).status().expect("it runs");
    assert!(status.success(), "{status}");
    None
}

fn files(spool: &Path) -> usize {
    let areas = ["incoming", "ready"].map(|area| std::fs::read_dir(spool.join(area)).expect("an area").count());
    areas.iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_is_507_leaves_nothing_and_takes_uploads_again_once_there_is_room() {
    let Some(disk) = small_disk(
        "neighbourhood::a_disk_that_fills_up_is_507_leaves_nothing_and_takes_uploads_again_once_there_is_room",
    ) else {
        return;
    };
    let folder = disk.join("spool");
    let env = TestEnv::start().await;
    let api = env.api_with(&[&format!("--spool-dir={}", folder.display()), "--spool-min-free=1000000"]).await;
    let _worker = env.worker_with(|config| config.spool = Spool::open(&folder, None).expect("a spool")).await;
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;

    // In the middle of a body of which nobody said how long it is.
    let form = RawForm::new().file("file", "a.mp4", &mp4(12_000_000)).finished();
    let mut wire = Wire::open(&user).await;
    wire.head("POST", "/api/v1/media", &[("content-type", FORM_TYPE), ("transfer-encoding", "chunked")]).await;
    for piece in form.chunks(100_000) {
        wire.send(format!("{:x}\r\n", piece.len()).as_bytes()).await;
        wire.send(&[piece, b"\r\n"].concat()).await;
    }
    wire.send(b"0\r\n\r\n").await;
    let refused = wire.answer().await.expect(507);
    assert_ne!(refused.header("retry-after"), "", "{}", refused.body);
    TestEnv::until("nothing of it is left", async || files(&folder) == 0).await;

    // Filled by somebody else, it is refused before its body.
    std::fs::write(disk.join("filler"), vec![1; 7_500_000]).expect("room");
    until_the_spool_is_down(&user, "too full").await;
    uploads_are_refused(&user, 507).await;
    user.get("/api/v1/users/current-user").await.expect(200);
    std::fs::remove_file(disk.join("filler")).expect("removed");
    until_ready(&user).await;
    let job = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
    user.wait_for_job(&job, &["completed"]).await;
    TestEnv::until("nothing is left", async || files(&folder) == 0).await;
    env.finish().await;
}

async fn until_the_spool_is_down(api: &Client, cause: &str) {
    TestEnv::until("readiness names the cause", || async {
        let ready = api.get("/readyz").await;
        let spool = &ready.body["dependencies"]["spool"];
        let named = spool["detail"].as_str().is_some_and(|detail| detail.contains(cause));
        ready.status == 503 && spool["state"] == "down" && named
    })
    .await;
}

async fn uploads_are_refused(user: &Client, status: u16) {
    let (name, registered) = user.register(jpeg(2_000)).await;
    for refused in [user.submit("a.jpg", jpeg(2_000)).await, user.replace_avatar(jpeg(2_000)).await, registered] {
        let refused = refused.expect(status);
        assert_ne!(refused.header("retry-after"), "", "{}", refused.body);
    }
    user.get(&format!("/api/v1/users/c/{name}")).await.expect(404);
}

/// Mounts a disk once more, `ro` or `rw`. A disk on which somebody writes a file stays as it is for that long.
async fn remount(disk: &Path, how: &str) {
    TestEnv::until(&format!("the disk is {how}"), async || {
        Command::new("mount")
            .args(["-o", &format!("remount,{how}")])
            .arg(disk)
            .output()
            .expect("mount")
            .status
            .success()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_inodes_then_read_only_loses_nothing_and_work_goes_on_by_itself() {
    let Some(disk) =
        small_disk("neighbourhood::a_disk_without_inodes_then_read_only_loses_nothing_and_work_goes_on_by_itself")
    else {
        return;
    };
    let folder = disk.join("spool");
    let env = TestEnv::start().await;
    let api = env.api_with(&[&format!("--spool-dir={}", folder.display()), "--spool-min-free=1000000"]).await;
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    let mut jobs = vec![answer.job(0)];
    for _ in 0..2 {
        jobs.push(user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0));
    }

    // Somebody else's files take all inodes, and hardly any room.
    let filler = disk.join("filler");
    std::fs::create_dir(&filler).expect("a folder");
    let mut made = (0..).map(|number| std::fs::File::create(filler.join(format!("{number}"))));
    let full = made.find_map(Result::err).expect("no inodes");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    // By the disk at first, and before the body once it has been measured.
    uploads_are_refused(&user, 507).await;
    until_the_spool_is_down(&user, "no inodes").await;
    uploads_are_refused(&user, 507).await;
    assert_eq!(files(&folder), jobs.len());

    // A worker starts there all the same. What it finishes is room enough to go on.
    let change = |config: &mut worker::Config| {
        config.spool = Spool::open(&folder, None).expect("a spool");
        config.settings.sweep_every = Duration::from_millis(200);
        config.settings.sweep_grace = Duration::from_secs(1);
    };
    let worker = env.worker_with(change).await;
    for job in &jobs {
        user.wait_for_job(job, &["completed"]).await;
    }
    until_ready(&user).await;
    let job = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
    user.wait_for_job(&job, &["completed"]).await;
    TestEnv::until("nothing is left", async || files(&folder) == 0).await;
    std::fs::remove_dir_all(&filler).expect("removed");

    let busy =
        Effect::Status { status: 503, message: None, html: None, retry_after: Some(1), at: Moment::BeforeStoring };
    env.media().install_fault(Fault::new(busy).on("upload"));
    jobs.clear();
    for _ in 0..3 {
        jobs.push(user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0));
    }
    remount(&disk, "ro").await;
    uploads_are_refused(&user, 503).await;
    until_the_spool_is_down(&user, "read-only").await;
    uploads_are_refused(&user, 503).await;
    let told = worker.readiness();
    assert!(!told.ready && told.dependencies["spool"].contains("read-only"), "{told:?}");
    env.media().clear_faults();
    for job in &jobs {
        let job = user.wait_for_job(job, &["completed"]).await;
        let attempts = job["attempts"].as_array().expect("attempts");
        assert!(attempts.iter().all(|attempt| attempt["outcome"] != "crashed"), "{job}");
    }
    // It has tried to remove them by then.
    env.until_quiet().await;
    assert_eq!(files(&folder), jobs.len());
    assert_eq!(env.media().assets().len(), 7);

    remount(&disk, "rw").await;
    until_ready(&user).await;
    TestEnv::until("the files are gone", async || files(&folder) == 0).await;
    let job = user.submit("a.jpg", jpeg(2_000)).await.expect(202).job(0);
    user.wait_for_job(&job, &["completed"]).await;
    TestEnv::until("nothing is left", async || files(&folder) == 0).await;
    assert!(worker.readiness().ready);
    env.finish().await;
}

/// A worker in a process of its own, and where it tells how it is.
struct Worker {
    process: Process,
    ready: String,
}

impl Worker {
    fn start(env: &TestEnv, name: &str, more: &[(&'static str, String)]) -> Self {
        let [port] = ports::free().expect("a free port");
        let mut settings = vec![("WORKER_HEALTH", format!("127.0.0.1:{port}"))];
        settings.extend_from_slice(more);
        let process = support::start_worker(env, name, &settings);
        Self { process, ready: format!("http://127.0.0.1:{port}/readyz") }
    }

    /// What it says about the media host; empty while it does not answer.
    async fn media_host(&self) -> (u16, String) {
        let Ok(answer) = reqwest::get(&self.ready).await else { return (0, String::new()) };
        let (status, body) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default());
        (status, body["dependencies"]["cloudinary"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until it says that somebody has to look at a variable.
    async fn until_it_names(&self, status: &str, variable: &str) {
        TestEnv::until("readiness names the variable", || async {
            let (answer, said) = self.media_host().await;
            answer == 503 && said.starts_with("operator error: ") && said.contains(status) && said.contains(variable)
        })
        .await;
        let log = self.process.printed().expect("a log");
        let told: Vec<_> = log.lines().filter(|line| line.contains("the media host refuses us")).collect();
        assert!(matches!(told.as_slice(), [line] if line.contains(variable)), "{told:?}");
    }
}

/// Asserts that a job waits for the operator, and not for long; then lets that time pass.
async fn wait_is_over(env: &TestEnv, user: &Client, job: &str) {
    let waiting = user.wait_for_job(job, &["retryable"]).await;
    assert_eq!(
        (&waiting["failures"], &waiting["attempts"][0]["outcome"]),
        (&0.into(), &"operator".into()),
        "{waiting}"
    );
    let jobs = env.database().collection::<Document>("jobs");
    let found = jobs.find_one(doc! { "_id": job }).await.expect("the database").expect("the job");
    let wait = found.get_datetime("runAt").expect("a time").timestamp_millis() - DateTime::now().timestamp_millis();
    assert!((10_000..=46_000).contains(&wait), "the worker asks again after {wait} ms");
    let now = doc! { "$set": { "runAt": DateTime::now(), "dueAt": DateTime::now() } };
    jobs.update_one(doc! { "_id": job }, now).await.expect("the database");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_wrong_secret_nothing_is_discarded_and_a_worker_with_the_right_one_goes_on() {
    let env = TestEnv::start().await;
    let api = env.api().await;
    let settings = env.worker_settings();
    let right = settings.iter().find(|(name, _)| *name == "CLOUDINARY_URL").map(|(_, url)| url.as_str()).expect("set");
    let (begin, rest) = right.split_once('@').expect("an account");
    let wrong = format!("{}:wr0ng-secret-of-somebody@{rest}", begin.rsplit_once(':').expect("a secret").0);
    let worker = Worker::start(&env, "misled", &[("CLOUDINARY_URL", wrong)]);
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    worker.until_it_names("401", "CLOUDINARY_API_SECRET").await;
    user.wait_for_job(&answer.job(0), &["retryable"]).await;
    process::end(worker.process).await.expect("it ends");
    wait_is_over(&env, &user, &answer.job(0)).await;

    let mended = Worker::start(&env, "mended", &[]);
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    TestEnv::until("it is ready", async || mended.media_host().await == (200, "ok".to_owned())).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_permission_discards_nothing_and_work_goes_on_by_itself_once_it_has_one() {
    let env = TestEnv::start().await;
    let api = env.api().await;
    let message = Some("Not allowed".to_owned());
    let forbidden = Effect::Status { status: 403, message, html: None, retry_after: None, at: Moment::BeforeStoring };
    env.media().install_fault(Fault::new(forbidden).on("upload"));
    let worker = Worker::start(&env, "worker", &[]);
    let (user, answer) = api.new_user(jpeg(1_000)).await;
    worker.until_it_names("403", "CLOUDINARY_API_KEY").await;
    // What was uploaded can be seen all the same.
    let avatar = user.current_user().await["avatar"].as_str().expect("an address").to_owned();
    user.get(&avatar).await.expect(200);

    env.media().clear_faults();
    let begun = Instant::now();
    wait_is_over(&env, &user, &answer.job(0)).await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    println!("done {:?} after it was mended", begun.elapsed());
    TestEnv::until("it is ready", async || worker.media_host().await == (200, "ok".to_owned())).await;
    assert!(worker.process.printed().expect("a log").contains("the media host accepts our requests again"));
    env.finish().await;
}
