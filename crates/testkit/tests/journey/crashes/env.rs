//! One crash: an environment, a program that dies in it, and what must be found once it was started again.

use std::ops::Deref;

use bytes::Bytes;
use crash_points::VARIABLE;
use futures_util::TryStreamExt;
use messages::UserId;
use mongodb::bson::{Document, doc};
use reqwest::{Method, StatusCode};
use store::JobState;
use testkit::{Answer, Api, Client, Leftovers, Process, TestEnv, Upload, jpeg, make_users, process};

use crate::support;

/// An upload of more than one write to the disk, and of more than a few reads.
const PICTURE: usize = 1_800_000;

/// An environment with one user, who has no avatar.
pub struct CrashEnv {
    pub env: TestEnv,
    /// The user's access token.
    pub token: String,
    pub picture: Bytes,
}

impl Deref for CrashEnv {
    type Target = TestEnv;

    fn deref(&self) -> &TestEnv {
        &self.env
    }
}

impl CrashEnv {
    pub async fn new() -> Self {
        Self::with_users(1).await
    }

    /// With more users, whom nobody speaks for.
    pub async fn with_users(count: usize) -> Self {
        let env = TestEnv::start().await;
        let mut tokens = make_users(env.store(), env.database(), count).await.expect("users");
        Self { env, token: tokens.remove(0), picture: jpeg(PICTURE) }
    }

    /// Everybody.
    pub async fn users(&self) -> Vec<UserId> {
        let users = self.database().collection::<Document>("users");
        let users: Vec<Document> = users.find(doc! {}).await.expect("an answer").try_collect().await.expect("users");
        users.iter().map(|user| UserId::from_bytes(user.get_object_id("_id").expect("an id").bytes())).collect()
    }

    /// Accepts the user's avatar, as an API that lives, and publishes its job.
    pub async fn accept(&self) -> (Api, Client, String) {
        self.accept_by(self.env.api().await).await
    }

    /// Accepts the user's avatar, as an API that cannot publish.
    pub async fn accept_in_silence(&self) -> (Api, Client, String) {
        self.accept_by(self.api_with(&["--rabbitmq-url=amqp://127.0.0.1:1"]).await).await
    }

    async fn accept_by(&self, api: Api) -> (Api, Client, String) {
        let user = api.client().with_token(&self.token);
        let job = user.replace_avatar(self.picture.clone()).await.expect(202).job(0);
        (api, user, job)
    }

    /// Has a worker finish a job, and end.
    pub async fn completed(&self, user: &Client, job: &str) {
        let worker = self.env.worker().await;
        user.wait_for_job(job, &["completed"]).await;
        worker.shutdown(std::future::ready(())).await;
    }

    /// Starts an api that crashes at a point. The client is the user's.
    pub async fn doomed_api(&self, at: &str) -> (Process, Client) {
        let (api, client) = support::api_with(&self.env, "doomed-api", &[(VARIABLE, at.to_owned())]).await;
        (api, client.with_token(&self.token))
    }

    /// Starts an api in its place.
    pub async fn another_api(&self) -> (Process, Client) {
        let (api, client) = support::api(&self.env, "api").await;
        (api, client.with_token(&self.token))
    }

    /// Starts a worker that crashes at a point.
    pub fn doomed_worker(&self, at: &str, more: &[(&'static str, String)]) -> Process {
        let mut settings = worker_settings();
        settings.push((VARIABLE, at.to_owned()));
        settings.extend_from_slice(more);
        support::start_worker(&self.env, "doomed-worker", &settings)
    }

    /// Runs a worker until it crashes at a point.
    pub async fn crash_worker(&self, at: &str) {
        self.crashed(self.doomed_worker(at, &[]), at).await;
    }

    /// Waits until a program has crashed where it was to crash, and then lets the files that it left grow old.
    pub async fn crashed(&self, mut program: Process, at: &str) {
        let ended = process::until_ended(&mut program).await.expect("it gets there");
        let log = program.printed().expect("a log");
        assert_eq!(ended, "signal 6", "it aborts: {log}");
        let point = at.split(['=', '#']).next().unwrap_or(at);
        assert!(log.contains(&format!("crashing at {point}\n")), "it died elsewhere: {log}");
        support::let_files_grow_old(&self.env);
    }

    /// Starts a worker again, which has what is left to do.
    pub fn worker(&self) -> Process {
        support::start_worker(&self.env, "worker", &worker_settings())
    }

    /// Waits until no job is unfinished and no more than so many files are in the spool.
    pub async fn settled(&self, files: usize) {
        TestEnv::until("everything is settled", async || {
            let jobs = self.store().jobs().queue_ages().await.expect("an answer");
            jobs.is_empty() && self.spooled_files() == files
        })
        .await;
    }

    /// Sends a picture in a form of its own until it is accepted: what the dead had locked stays so for seconds.
    pub async fn submit(&self, user: &Client, key: &str) -> Answer {
        loop {
            let answer = user.send(submission(user, self.picture.clone(), key)).await;
            if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                return answer.expect(202);
            }
        }
    }

    /// What the database holds of a kind.
    pub async fn count(&self, collection: &str, filter: Document) -> u64 {
        let collection = self.database().collection::<Document>(collection);
        collection.count_documents(filter).await.expect("an answer")
    }

    /// Exactly one asset with the client's bytes, which is the avatar since the user's change number `change`; every upload
    /// completed.
    pub async fn shows_the_avatar(&self, change: i64) {
        self.settled(0).await;
        let assets = self.media().assets();
        let names: Vec<&str> = assets.iter().map(|asset| asset.identity.public_id.as_str()).collect();
        assert_eq!(assets.len(), 1, "{names:?}");
        assert_eq!(self.media().read(&assets[0]).await.expect("its bytes"), self.picture);
        let shown = doc! {
            "avatar": { "$regex": &assets[0].identity.public_id },
            "steep.avatar.seq": change,
            "steep.avatar.current.seq": change,
            "steep.avatar.pending": { "$exists": false },
        };
        assert_eq!(self.count("users", shown).await, 1);
        assert_eq!(self.count("assets", doc! { "state": "ready" }).await, 1);
        let uploads = doc! { "kind": "media.upload.v1" };
        assert_eq!(self.count("jobs", uploads.clone()).await, u64::try_from(change).expect("a number"));
        let completed = doc! { "kind": "media.upload.v1", "state": JobState::Completed.as_str() };
        assert_eq!(self.count("jobs", completed).await, self.count("jobs", uploads).await);
        let ready = self.count("events", doc! { "kind": "media.ready.v1" }).await;
        assert_eq!(ready, u64::try_from(change).expect("a number"), "each upload makes one event");
    }

    /// Everything is as if nothing had been sent.
    pub async fn is_untouched(&self) {
        self.settled(0).await;
        assert_eq!(self.media().assets().len(), 0);
        for collection in ["assets", "jobs", "idempotency"] {
            assert_eq!(self.count(collection, doc! {}).await, 0, "{collection}");
        }
        assert_eq!(self.count("users", doc! { "avatar": "", "steep.avatar": { "$exists": false } }).await, 1);
    }

    /// Ends the worker that was started again, and the environment, in which nothing may be left.
    pub async fn finish(self, worker: Process) {
        self.finish_with(worker, Leftovers::default()).await;
    }

    /// As [`CrashEnv::finish`], with what a discarded upload leaves for a redrive.
    pub async fn finish_with(self, worker: Process, leftovers: Leftovers) {
        self.until_quiet().await;
        TestEnv::until("every event is published", async || {
            self.count("events", doc! { "dueAt": { "$exists": true } }).await == 0
        })
        .await;
        Self::end(worker).await;
        // A coalescer that had read the intents just before their count was recorded has made one recount more, and a relay that had
        // taken a job just before it ended has published it once more.
        let jobs = self.store().jobs().queue_ages().await.expect("an answer");
        if !jobs.is_empty() || self.host().job_messages().await > 0 {
            // With a log of its own: the other one tells of another start.
            let another = support::start_worker(&self.env, "another-worker", &worker_settings());
            self.settled(leftovers.files).await;
            self.until_quiet().await;
            Self::end(another).await;
        }
        self.env.finish_with(leftovers).await;
    }

    async fn end(worker: Process) {
        // Before that it does not know what SIGTERM means.
        TestEnv::until("the worker has started", async || worker.printed().expect("a log").contains("started")).await;
        process::end(worker).await.expect("it lives");
    }
}

/// A picture in a form of its own.
pub fn submission(user: &Client, picture: Bytes, key: &str) -> reqwest::RequestBuilder {
    let form = Upload::new().file("file", "a.jpg", picture).form();
    user.request(Method::POST, "/api/v1/media").header("Idempotency-Key", key).multipart(form)
}

fn worker_settings() -> Vec<(&'static str, String)> {
    vec![("WORKER_LEASE", "5s".to_owned()), ("WORKER_SWEEP_EVERY", "1s".to_owned())]
}
