//! What happens to users, uploads and jobs, told so that every kind of document is met on the way.

mod admins;
mod bulk;
mod fleet;
pub mod people;
mod webhooks;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use messages::{AssetId, JobId, Trace, UserId};
use store::{
    Cancel, Claim, FailureCode, IdempotencyKey, Incarnation, JobState, MediaChange, MediaType, NewUpload, NewUser,
    Notice, Noticed, PasswordHash, Rescue, ResourceType, Retry, Role, StoredAnswer, StoredMedia, UploadPosition,
    public_id,
};
use time::OffsetDateTime;

use crate::ends::{Ended, Ends};
use crate::support::{Fixture, LEASE, claimed, new_user, stored, upload};

struct Told {
    fixture: Fixture,
    documents: BTreeMap<String, Document>,
}

/// Every kind of document as it is written today, by collection and name.
pub async fn tell() -> BTreeMap<String, Document> {
    let mut told = Told { fixture: Fixture::new().await, documents: BTreeMap::new() };
    told.an_avatar_and_its_successors().await;
    told.uploads_that_fail().await;
    told.an_avatar_that_fails().await;
    told.avatars_that_the_media_host_tells_of().await;
    told.a_video().await;
    told.a_traced_upload().await;
    told.a_large_file().await;
    told.an_adopted_user().await;
    told.answers().await;
    told.an_upload_that_leaves_something().await;
    told.an_upload_that_is_cancelled().await;
    told.somebody_who_signs_in().await;
    told.attempts().await;
    told.a_subscription().await;
    told.an_adoption().await;
    told.webhooks().await;
    told.admins().await;
    told.fleet().await;
    told.bulk().await;
    told.documents
}

fn avatar(asset: &str, job: &str, file: &str) -> NewUpload {
    NewUpload {
        asset: asset.parse().expect("an asset's id"),
        job: job.parse().expect("a job's id"),
        file: file.parse().expect("a file's id"),
        ..upload(Role::Avatar)
    }
}

fn again(counts: bool) -> Retry {
    let code = if counts { FailureCode::Answered(503) } else { FailureCode::Configuration };
    Retry { after: Duration::ZERO, error: "the media host answered 503".to_owned(), code, counts }
}

impl Told {
    async fn note(&mut self, name: &str, id: impl Into<Bson>) {
        self.note_the(name, doc! { "_id": id.into() }).await;
    }

    /// Notes the document of a collection that fits.
    async fn note_the(&mut self, name: &str, filter: Document) {
        let (collection, _) = name.split_once('/').expect("a collection and a name");
        let found = self.fixture.collection(collection).find_one(filter).await;
        self.documents.insert(name.to_owned(), found.expect("an answer").expect("a document"));
    }

    async fn note_user(&mut self, name: &str, id: UserId) {
        self.note(&format!("users/{name}"), ObjectId::from_bytes(id.bytes())).await;
    }

    async fn note_asset(&mut self, name: &str, id: AssetId) {
        self.note(&format!("assets/{name}"), ObjectId::from_bytes(id.bytes())).await;
    }

    async fn note_job(&mut self, name: &str, id: JobId) {
        self.note(&format!("jobs/{name}"), id.to_string()).await;
    }

    async fn complete(&self, job: JobId, asset: AssetId) -> Ended {
        let attempt = self.fixture.claim(job).await.attempt;
        self.fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("recorded")
    }

    async fn an_avatar_and_its_successors(&mut self) {
        let plain = self.fixture.user().await;
        self.note_user("without-images", plain).await;

        let first = avatar(
            "65a1b2c3d4e5f60718293a01",
            "019389a0-0000-7000-8000-000000000001",
            "0b3d3c1e-1111-4111-8111-000000000001",
        );
        let user = NewUser {
            id: "65a1b2c3d4e5f60718293aff".parse().expect("a user's id"),
            username: "grace".to_owned(),
            email: "grace@example.com".to_owned(),
            full_name: "Grace Hopper".to_owned(),
            password_hash: PasswordHash::from("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA".to_owned()),
        };
        let owner = user.id;
        let trace = Trace::of(None, Some("00-trace".to_owned()));
        self.fixture.store.media().register(user, vec![first.clone()], None, trace).await.expect("accepted");
        self.note_user("pending-avatar", owner).await;
        self.note_user("pending-typed", owner).await;
        self.note_asset("pending", first.asset).await;
        self.note_job("with-source", first.job).await;
        self.an_eventful_job(first.job).await;
        let attempt = self.fixture.job(first.job).await.attempt;
        let media = stored(first.asset);
        self.fixture.store.complete_upload(first.job, attempt, first.asset, media).await.expect("completed");
        self.note_the("events/unpublished", doc! { "data.job": first.job.to_string() }).await;
        self.note_job("completed", first.job).await;
        self.note_asset("ready", first.asset).await;
        self.note_user("avatar", owner).await;

        let second = avatar(
            "65a1b2c3d4e5f60718293a02",
            "019389a0-0000-7000-8000-000000000002",
            "0b3d3c1e-1111-4111-8111-000000000002",
        );
        self.fixture.store.media().replace_image(owner, second.clone(), None).await.expect("accepted");
        self.note_user("avatar-and-newer", owner).await;
        let outcome = self.complete(second.job, second.asset).await;
        self.note_asset("second", second.asset).await;
        self.note_job("completed-announced", second.job).await;
        self.note_user("avatar-replaced", owner).await;
        self.note_asset("deleting", first.asset).await;
        let deletion = outcome.follow_ups.first().expect("a deletion").id;
        self.note_job("delete-pending", deletion).await;
        let attempt = self.fixture.claim(deletion).await.attempt;
        self.fixture.store.complete_delete(deletion, attempt, first.asset).await.expect("completed");
        self.note_job("delete-completed", deletion).await;
        self.note_asset("deleted", first.asset).await;
        self.superseded(owner).await;
    }

    /// Everything that can happen to a job before it ends.
    async fn an_eventful_job(&mut self, job: JobId) {
        self.note_job("pending", job).await;
        self.fixture.store.jobs().mark_queued(&[job]).await.expect("marked");
        self.note_job("queued", job).await;
        let attempt = self.fixture.claim(job).await.attempt;
        self.note_job("running", job).await;
        self.fixture.store.retry(job, attempt, &again(false)).await.expect("retried later");
        self.note_job("retryable-operator", job).await;
        let attempt = self.fixture.claim(job).await.attempt;
        self.fixture.store.retry(job, attempt, &again(true)).await.expect("retried later");
        self.note_job("retryable", job).await;
        self.note_job("retryable-coded", job).await;
        self.a_group_of_failures(job).await;
        let attempt = self.fixture.claim(job).await.attempt;
        self.fixture.store.jobs().release(job, attempt).await.expect("released");
        self.note_job("released", job).await;
        self.fixture.crash(job).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        claimed(self.fixture.try_claim(job, "rescuer", LEASE).await);
        self.note_job("rescued", job).await;
    }

    /// It is written beside the failure.
    async fn a_group_of_failures(&mut self, job: JobId) {
        let group = self.fixture.job(job).await.error_group.expect("a group");
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.fixture.store.error_groups().find(group).await.expect("an answer").is_none() {
            assert!(Instant::now() < deadline, "no group is written");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.note("error_groups/met", group.to_string()).await;
    }

    async fn superseded(&mut self, owner: UserId) {
        let [waiting, running, last] = [(); 3].map(|()| upload(Role::Avatar));
        self.fixture.store.media().replace_image(owner, waiting.clone(), None).await.expect("accepted");
        self.fixture.store.media().replace_image(owner, running.clone(), None).await.expect("accepted");
        self.note_asset("superseded", waiting.asset).await;
        self.note_job("cancelled", waiting.job).await;
        let attempt = self.fixture.claim(running.job).await.attempt;
        self.fixture.store.media().replace_image(owner, last, None).await.expect("accepted");
        self.note_asset("superseded-running", running.asset).await;
        self.note_job("superseded-running", running.job).await;
        let media = stored(running.asset);
        let outcome = self.fixture.store.complete_upload(running.job, attempt, running.asset, media).await;
        assert_eq!(outcome.expect("recorded").state, JobState::Cancelled);
        self.note_job("cancelled-running", running.job).await;
    }

    async fn a_large_file(&mut self) {
        let job = self.fixture.media_job().await.id;
        let attempt = self.fixture.claim(job).await.attempt;
        let position = UploadPosition {
            upload_id: "019389a0-0000-7000-8000-000000000003-20000000-1".to_owned(),
            acknowledged_bytes: 60_000_000,
            chunk_size: 20_000_000,
            begun: 1,
        };
        self.fixture.store.jobs().note_progress(job, attempt, LEASE, &position).await.expect("noted");
        self.note_job("uploading", job).await;
    }

    async fn uploads_that_fail(&mut self) {
        for (job_name, asset_name, replayable) in
            [("discarded", "failed", true), ("discarded-for-good", "failed-for-good", false)]
        {
            let job = self.fixture.media_job().await;
            let attempt = self.fixture.claim(job.id).await.attempt;
            let discarded = self.fixture.store.discard(job.id, attempt, "the account is full", replayable);
            discarded.await.expect("discarded");
            self.note_job(job_name, job.id).await;
            if replayable {
                self.note_job("discarded-coded", job.id).await;
                self.note_job("discarded-in-group", job.id).await;
            }
            self.note_asset(asset_name, job.asset.expect("an asset")).await;
        }
        let poison = self.fixture.media_job().await;
        for _ in 0..3 {
            self.fixture.crash(poison.id).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let claim = self.fixture.try_claim(poison.id, "survivor", LEASE).await;
        let Claim::Poisoned(job) = claim else { panic!("{claim:?}") };
        self.fixture.store.discard_poisoned(&job, &Rescue::LeaseExpired).await.expect("discarded");
        self.note_job("poisoned", poison.id).await;
    }

    async fn an_avatar_that_fails(&mut self) {
        let owner = self.fixture.user().await;
        let upload = upload(Role::Avatar);
        self.fixture.store.media().replace_image(owner, upload.clone(), None).await.expect("accepted");
        let attempt = self.fixture.claim(upload.job).await.attempt;
        let discarded = self.fixture.store.discard(upload.job, attempt, "the account is full", true);
        discarded.await.expect("discarded");
        self.note_user("failed-avatar", owner).await;
        self.note_asset("failed-avatar", upload.asset).await;
    }

    /// Of one before it is ready, of another after that.
    async fn avatars_that_the_media_host_tells_of(&mut self) {
        let owner = self.fixture.user().await;
        for is_ready in [false, true] {
            let upload = upload(Role::Avatar);
            self.fixture.store.media().replace_image(owner, upload.clone(), None).await.expect("accepted");
            let at = |second: i64| OffsetDateTime::from_unix_timestamp(1_800_000_000 + second).expect("a time");
            let before = Incarnation { asset_id: Some("before".to_owned()), version: Some(1) };
            let stored = Incarnation { asset_id: Some("abc".to_owned()), version: Some(1_700_000_000) };
            let told = if is_ready {
                self.complete(upload.job, upload.asset).await;
                vec![(stored, MediaChange::Moderated { rejected: true, at: at(2) })]
            } else {
                let renamed = MediaChange::Renamed { to: "elsewhere".to_owned(), at: at(1) };
                vec![(before.clone(), MediaChange::Deleted), (before, renamed)]
            };
            for (of, change) in told {
                let name = public_id(Role::Avatar, upload.asset);
                let notice = Notice { public_id: name, resource_type: None, of, change };
                let noticed = self.fixture.store.media().notice(&notice).await.expect("an answer");
                assert_eq!(noticed, Noticed::Changed(upload.asset));
            }
            self.note_asset(if is_ready { "rejected" } else { "noticed" }, upload.asset).await;
        }
        self.note_user("rejected-avatar", owner).await;
    }

    /// What the attempts before the last one may have left is deleted by a job of its own.
    async fn an_upload_that_leaves_something(&mut self) {
        let job = self.fixture.media_job().await;
        let attempt = self.fixture.claim(job.id).await.attempt;
        self.fixture.store.jobs().release(job.id, attempt).await.expect("released");
        let attempt = self.fixture.claim(job.id).await.attempt;
        let discarded = self.fixture.store.discard(job.id, attempt, "the account is full", true).await;
        let discarded = discarded.expect("discarded");
        self.note_job("discarded-late", job.id).await;
        self.note_asset("name-spent", job.asset.expect("an asset")).await;
        self.note_job("delete-name", discarded.follow_ups.first().expect("a deletion").id).await;
    }

    async fn an_upload_that_is_cancelled(&mut self) {
        let job = self.fixture.media_job().await;
        self.fixture.claim(job.id).await;
        let cancel = self.fixture.store.media().cancel(job.owner.expect("an owner"), job.id).await;
        assert!(matches!(cancel.expect("an answer"), Cancel::Done(_)));
        self.note_job("cancelled-by-owner", job.id).await;
        self.note_asset("cancelled", job.asset.expect("an asset")).await;
        self.note_the("events/cancelled", doc! { "data.job": job.id.to_string() }).await;
    }

    async fn a_video(&mut self) {
        let owner = self.fixture.user().await;
        let media_type = MediaType { content_type: "video/mp4".to_owned(), resource_type: ResourceType::Video };
        let video = NewUpload { media_type, original_name: "film.mp4".to_owned(), ..upload(Role::Media) };
        let (job, asset) = (video.job, video.asset);
        let trace = Trace::of(Some("a-request".to_owned()), Some("00-trace".to_owned()));
        let owner = self.fixture.read_user(owner).await;
        self.fixture.store.media().submit(owner, vec![video], None, trace).await.expect("accepted");
        self.note_job("of-a-request", job).await;
        let attempt = self.fixture.claim(job).await.attempt;
        let media = StoredMedia { duration: Some(12.5), ..stored(asset) };
        self.fixture.store.complete_upload(job, attempt, asset, media).await.expect("completed");
        self.note_asset("video", asset).await;
    }

    /// Of a request whose client has added to the context of its trace.
    async fn a_traced_upload(&mut self) {
        let owner = self.fixture.user().await;
        let new = upload(Role::Media);
        let trace = Trace::of(Some("a-request".to_owned()), Some("00-trace".to_owned())).expect("a trace");
        let trace = trace.with_tracestate(Some("vendor=1".to_owned()));
        let owner = self.fixture.read_user(owner).await;
        self.fixture.store.media().submit(owner, vec![new.clone()], None, Some(trace)).await.expect("accepted");
        self.note_job("of-a-trace", new.job).await;
    }

    /// As chai-backend writes one, but for what an upload adds.
    async fn an_adopted_user(&mut self) {
        let id = ObjectId::new();
        let at = DateTime::from_millis(1_700_000_000_000);
        let user = doc! {
            "_id": id, "username": "ada", "email": "ada@example.com", "fullName": "Ada Lovelace",
            "avatar": "http://res.example.com/old/ada.png", "coverImage": "", "watchHistory": [ObjectId::new(), ObjectId::new()],
            "password": "$2b$10$abcdefghijklmnopqrstuv1234567890abcdefghijklmnopqrstuv", "refreshToken": "a.b.c",
            "createdAt": at, "updatedAt": at, "__v": 0,
        };
        self.fixture.collection("users").insert_one(user).await.expect("inserted");
        let owner = UserId::from_bytes(id.bytes());
        self.note_user("adopted", owner).await;
        let upload = upload(Role::Avatar);
        self.fixture.store.media().replace_image(owner, upload.clone(), None).await.expect("accepted");
        self.note_user("adopted-replacing", owner).await;
        self.note_asset("of-adopted", upload.asset).await;
        self.note_job("of-adopted", upload.job).await;
    }

    async fn answers(&mut self) {
        let key = |key: &str| IdempotencyKey { scope: "POST /api/v1/somewhere".to_owned(), key: key.to_owned() };
        let answer = |status, location| StoredAnswer { status, location, body: "{\"a\":1}".to_owned() };
        let first = Some((key("first"), answer(201, None)));
        let owner =
            self.fixture.store.media().register(new_user(), Vec::new(), first, None).await.expect("accepted").user;
        let second = Some((key("second"), answer(202, Some("/api/v1/jobs/1".to_owned()))));
        self.fixture.store.media().submit(owner, vec![upload(Role::Media)], second, None).await.expect("accepted");
        for (name, key) in [("registered", "first"), ("accepted", "second")] {
            let id = doc! { "scope": "POST /api/v1/somewhere", "key": key };
            self.note(&format!("idempotency/{name}"), id).await;
        }
    }
}
