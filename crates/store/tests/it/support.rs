//! A database per test, and short words for what tests do.

use std::time::{Duration, Instant};

use crate::ends::Ends;
use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use messages::{AssetId, FileId, JobId, SessionId, Trace, UserId};
use mongodb::{Client, Collection, Database};
use store::{
    Accepted, Asset, Channel, Claim, ClaimRequest, Claimed, Config, Counts, JobRecord, JobState, MediaType, NewUpload,
    NewUser, Pace, PasswordHash, Profile, Rescue, ResourceType, Role, Store, StoredMedia, User, subscribers,
};
use testkit::databases;

pub const LEASE: Duration = Duration::from_secs(60);
pub const CRASHES: u32 = 3;
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// A store with an empty database, which is left to other tests at the end, or dropped.
pub struct Fixture {
    pub store: Store,
    pub config: Config,
    pub raw: Database,
    uri: String,
    /// Of a database that may be left.
    shape: Option<databases::Shape>,
}

pub fn uri() -> String {
    std::env::var("STEEP_TEST_MONGODB_URI")
        .expect("STEEP_TEST_MONGODB_URI is not set: run `cargo xtask test`, which starts the services that tests need")
}

impl Fixture {
    pub async fn new() -> Self {
        let mut fixture = Self::over(uri(), databases::take(&client(&uri()).await).await, |_| {}).await;
        fixture.store.ensure_indexes().await.expect("indexes");
        fixture.shape = Some(databases::shape_of(&fixture.raw).await);
        fixture
    }

    /// With a store in which whatever comes at once is made together.
    pub async fn sharing() -> Self {
        let fixture = Self::without_indexes(|config| config.turns = 1).await;
        fixture.store.ensure_indexes().await.expect("indexes");
        fixture
    }

    /// The same on another server, and with much patience.
    pub async fn sharing_on(uri: String) -> Self {
        let raw = client(&uri).await.database("steep-store");
        let fixture = Self::over(uri, raw, |config| (config.turns, config.timeout) = (1, HOUR)).await;
        fixture.store.ensure_indexes().await.expect("indexes");
        fixture
    }

    pub async fn without_indexes(change: impl FnOnce(&mut Config)) -> Self {
        Self::over(uri(), client(&uri()).await.database(&format!("steep-store-{}", JobId::new())), change).await
    }

    async fn over(uri: String, raw: Database, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(uri.clone().into(), raw.name(), "store-tests").expect("a usable address");
        config.publish_grace = Duration::ZERO;
        change(&mut config);
        let store = Store::connect(&config).await.expect("a store");
        Self { store, config, raw, uri, shape: None }
    }

    pub fn collection(&self, name: &str) -> Collection<Document> {
        self.raw.collection(name)
    }

    pub async fn count(&self, name: &str) -> u64 {
        self.collection(name).count_documents(doc! {}).await.expect("a count")
    }

    /// A registered user without images.
    pub async fn user(&self) -> UserId {
        self.store.media().register(new_user(), Vec::new(), None, None).await.expect("a registered user").user.id
    }

    /// A job of a new user's.
    pub async fn media_job(&self) -> JobRecord {
        let owner = self.user().await;
        self.submit(owner).await
    }

    pub async fn submit(&self, owner: UserId) -> JobRecord {
        self.submit_file(owner, &upload(Role::Media), None).await
    }

    /// Submits this very file.
    pub async fn submit_file(&self, owner: UserId, file: &NewUpload, trace: Option<Trace>) -> JobRecord {
        let owner = self.read_user(owner).await;
        let accepted = self.store.media().submit(owner, vec![file.clone()], None, trace).await.expect("accepted");
        accepted.jobs.into_iter().next().expect("a job")
    }

    pub async fn replace_avatar(&self, owner: UserId) -> Accepted {
        self.store.media().replace_image(owner, upload(Role::Avatar), None).await.expect("accepted")
    }

    pub async fn read_user(&self, id: UserId) -> User {
        self.store.users().find(id).await.expect("an answer").expect("a user")
    }

    pub async fn job(&self, id: JobId) -> JobRecord {
        self.store.jobs().find(id).await.expect("an answer").expect("a job")
    }

    pub async fn asset(&self, id: AssetId) -> Asset {
        self.store.media().find(id).await.expect("an answer").expect("an asset")
    }

    pub async fn try_claim(&self, id: JobId, worker: &str, lease: Duration) -> Claim {
        let request = ClaimRequest { lease, ..request(worker, &Rescue::LeaseExpired) };
        self.store.jobs().claim(id, &request).await.expect("an answer")
    }

    /// Claims a job whose worker the broker says is gone.
    pub async fn take_over(&self, id: JobId, worker: &str, gone: &str) -> Claim {
        let rescue = Rescue::HolderGone { worker: gone.to_owned() };
        self.store.jobs().claim(id, &request(worker, &rescue)).await.expect("an answer")
    }

    pub async fn claim(&self, id: JobId) -> Claimed {
        claimed(self.try_claim(id, "worker", LEASE).await)
    }

    /// Claims a job for a worker that vanishes at once.
    pub async fn crash(&self, id: JobId) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let worker = format!("vanishing-{}", JobId::new());
        while !matches!(self.try_claim(id, &worker, Duration::ZERO).await, Claim::Claimed(_)) {
            assert!(Instant::now() < deadline, "the lease of the attempt before does not run out");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What is stored of a user.
    pub async fn counts(&self, user: UserId) -> Counts {
        let id = doc! { "_id": ObjectId::from_bytes(user.bytes()) };
        let user = self.collection("users").find_one(id).await.expect("an answer").expect("a user");
        let stored = user.get_document("steep").and_then(|steep| steep.get_document("aggregates"));
        bson::deserialize_from_document(stored.expect("aggregates").clone()).expect("counts")
    }

    /// Has a channel counted.
    pub async fn recompute(&self, channel: UserId, pace: &Pace) -> JobId {
        let job = self.store.counters().request(&subscribers(channel)).await.expect("an answer").expect("a job");
        let claimed = self.claim(job.id).await;
        let recount = self.store.counters().count(&subscribers(channel)).await.expect("counted");
        let outcome = self.store.complete_recompute(job.id, claimed.attempt, &recount, pace).await.expect("stored");
        assert_eq!(outcome.state, JobState::Completed);
        job.id
    }

    /// A channel as a reader sees it, who sees the same whether or not the channel's name was looked up before.
    pub async fn seen(&self, channel: UserId, reader: UserId) -> Channel {
        let session = self.sign_in(reader).await;
        let name = self.read_user(channel).await.username;
        let fresh = Store::connect(&self.config).await.expect("a store that has looked nothing up");
        let seen = fresh.channels().profile(reader, session, &name).await.expect("an answer");
        for store in [&fresh, &self.store] {
            assert_eq!(store.channels().profile(reader, session, &name).await.expect("an answer"), seen);
        }
        match seen {
            Profile::Shown(channel) => *channel,
            other => panic!("{other:?}"),
        }
    }

    /// A session of a user's that is live.
    pub async fn sign_in(&self, user: UserId) -> SessionId {
        let session = store::new_session_id();
        let live = doc! { "$push": { "steep.sessions": ObjectId::from_bytes(session.bytes()) } };
        let id = doc! { "_id": ObjectId::from_bytes(user.bytes()) };
        self.collection("users").update_one(id, live).await.expect("signed in");
        session
    }

    /// A subscription as chai-backend wrote it.
    pub async fn adopt_subscription(&self, subscriber: UserId, channel: UserId) {
        let [subscriber, channel] = [subscriber, channel].map(|id| ObjectId::from_bytes(id.bytes()));
        let document = doc! { "subscriber": subscriber, "channel": channel, "__v": 0 };
        self.collection("subscriptions").insert_one(document).await.expect("inserted");
    }

    /// Does something while the server records its commands.
    pub async fn profiling<T>(&self, work: impl Future<Output = T>) -> T {
        // Otherwise its room is here twice.
        let work = Box::pin(work);
        self.raw.run_command(doc! { "profile": 2 }).await.expect("profiling");
        let done = work.await;
        self.raw.run_command(doc! { "profile": 0 }).await.expect("no more");
        done
    }

    /// The commands that the server has recorded since it was last asked, without those that record.
    pub async fn profiled(&self) -> Vec<Document> {
        let profile = self.collection("system.profile");
        let looked =
            doc! { "op": { "$in": ["query", "command", "getmore"] }, "ns": { "$not": { "$regex": "\\$cmd$|system" } } };
        let found: Vec<Document> =
            profile.find(looked).await.expect("an answer").try_collect().await.expect("commands");
        profile.drop().await.expect("forgotten");
        found
    }

    /// How the server performs a command that it has recorded.
    pub async fn explain(&self, profiled: &Document) -> Explained {
        let mut command = profiled.get_document("command").expect("a command").clone();
        for part in ["lsid", "$clusterTime", "$db", "readConcern", "writeConcern", "txnNumber", "maxTimeMS"] {
            command.remove(part);
        }
        let explain = doc! { "explain": command, "verbosity": "executionStats" };
        let answer = self.raw.run_command(explain).await.expect("explained");
        let mut explained = Explained::default();
        explained.read(&answer);
        explained
    }

    /// The unfinished jobs that delete this asset.
    pub async fn deletions(&self, asset: AssetId) -> u64 {
        let filter = doc! { "kind": "media.delete.v1", "data.asset": asset.to_string() };
        self.collection("jobs").count_documents(filter).await.expect("a count")
    }

    /// Lets time pass for all jobs and assets: what was due at some time is due so much earlier.
    pub async fn pass(&self, time: Duration) {
        let time = i64::try_from(time.as_millis()).expect("milliseconds");
        let sooner = |field: &str| {
            let field = format!("${field}");
            let is_there = doc! { "$eq": [{ "$type": &field }, "date"] };
            doc! { "$cond": [is_there, { "$subtract": [&field, time] }, "$$REMOVE"] }
        };
        let fields = ["runAt", "dueAt", "leaseUntil", "createdAt", "updatedAt"];
        for (collection, fields) in [("jobs", &fields[..]), ("assets", &["createdAt", "updatedAt"])] {
            let set: Document = fields.iter().map(|field| ((*field).to_owned(), Bson::from(sooner(field)))).collect();
            let all = self.collection(collection);
            all.update_many(doc! {}, vec![doc! { "$set": set }]).await.expect("changed");
        }
    }

    pub async fn is_in_use(&self, file: FileId) -> bool {
        self.store.media().files_in_use(&[file]).await.expect("an answer").contains(&file)
    }
}

/// What an explanation says.
#[derive(Debug, Default)]
pub struct Explained {
    pub stages: Vec<String>,
    pub keys_examined: i64,
    pub docs_examined: i64,
}

impl Explained {
    fn read(&mut self, part: &Document) {
        for (name, value) in part {
            match (name.as_str(), value) {
                ("stage", Bson::String(stage)) => self.stages.push(stage.clone()),
                ("totalKeysExamined", Bson::Int32(number)) => self.keys_examined += i64::from(*number),
                ("totalDocsExamined", Bson::Int32(number)) => self.docs_examined += i64::from(*number),
                // What the server might have done, and did not.
                ("rejectedPlans", _) => {}
                (_, Bson::Document(part)) => self.read(part),
                (_, Bson::Array(parts)) => {
                    parts.iter().filter_map(Bson::as_document).for_each(|part| self.read(part));
                }
                _ => {}
            }
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let shape = self.shape.take().filter(|_| !std::thread::panicking());
        let (uri, name) = (self.uri.clone(), self.raw.name().to_owned());
        let leaving = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = client(&uri).await;
                let database = client.database(&name);
                let left = async {
                    match &shape {
                        Some(shape) => databases::leave(&client, &database, shape).await,
                        None => database.drop().await,
                    }
                };
                // A server of the test's own may never answer.
                let _ = tokio::time::timeout(Duration::from_secs(30), left).await;
            });
        });
        let _ = leaving.join();
    }
}

async fn client(uri: &str) -> Client {
    Client::with_uri_str(uri).await.expect("a client")
}

/// A claim by a worker in which nothing else runs.
pub fn request<'a>(worker: &'a str, rescue: &'a Rescue) -> ClaimRequest<'a> {
    ClaimRequest { worker, lease: LEASE, rescue, max_crashes: CRASHES, exclusive: true }
}

pub fn claimed(claim: Claim) -> Claimed {
    match claim {
        Claim::Claimed(claimed) => claimed,
        other => panic!("not claimed: {other:?}"),
    }
}

pub fn new_user() -> NewUser {
    let id = store::new_user_id();
    NewUser {
        id,
        username: format!("user-{id}"),
        email: format!("{id}@example.com"),
        full_name: "Grace Hopper".to_owned(),
        password_hash: PasswordHash::from("a hash".to_owned()),
    }
}

pub fn upload(role: Role) -> NewUpload {
    NewUpload {
        asset: store::new_asset_id(),
        job: JobId::new(),
        role,
        spool: "here".parse().expect("a spool id"),
        file: FileId::new(),
        media_type: MediaType { content_type: "image/png".to_owned(), resource_type: ResourceType::Image },
        bytes: 1234,
        crc32: 0xfedc_ba98,
        original_name: "me.png".to_owned(),
    }
}

pub fn stored(asset: AssetId) -> StoredMedia {
    StoredMedia {
        url: url(asset),
        version: 1_700_000_000,
        asset_id: "abc".to_owned(),
        width: Some(640),
        height: Some(480),
        format: Some("png".to_owned()),
        duration: None,
    }
}

pub fn url(asset: AssetId) -> String {
    format!("https://res.example.com/{asset}.png")
}

pub fn first(accepted: &Accepted) -> (JobId, AssetId) {
    let job = accepted.jobs.first().expect("a job");
    (job.id, job.asset.expect("an asset"))
}

pub fn assert_state(job: &JobRecord, state: JobState) {
    assert_eq!(job.state, state, "{job:?}");
}
