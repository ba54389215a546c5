//! Jobs that end at once share a transaction, and nothing else.

use std::sync::Arc;

use bson::doc;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use messages::{AssetId, JobId, UserId};
use store::{AssetState, End, Error, Fence, JobState, Record, Role, Settle, Store};
use tokio::task::JoinSet;

use crate::ends::{Ended, Ends};
use crate::support::{Fixture, first, stored, upload, url};

/// A job whose attempt has begun.
#[derive(Debug, Clone, Copy)]
struct Running {
    owner: UserId,
    job: JobId,
    asset: AssetId,
    attempt: u32,
}

async fn running(fixture: &Fixture, owner: UserId, role: Role) -> Running {
    let accepted = fixture.store.media().replace_image(owner, upload(role), None).await.expect("accepted");
    let (job, asset) = first(&accepted);
    Running { owner, job, asset, attempt: fixture.claim(job).await.attempt }
}

async fn avatars(fixture: &Fixture, count: usize) -> Vec<Running> {
    let mut all = Vec::new();
    for _ in 0..count {
        let owner = fixture.user().await;
        all.push(running(fixture, owner, Role::Avatar).await);
    }
    all
}

type Answers = Vec<(JobId, Result<Ended, Error>)>;

/// Completes all of these uploads at once.
async fn complete_at_once(store: &Store, uploads: &[Running]) -> Answers {
    let mut tasks = JoinSet::new();
    for Running { job, asset, attempt, .. } in uploads.iter().copied() {
        let store = store.clone();
        tasks.spawn(async move { (job, store.complete_upload(job, attempt, asset, stored(asset)).await) });
    }
    tasks.join_all().await
}

/// Fails unless each of these avatars is shown, and its job has ended once.
async fn assert_shown(fixture: &Fixture, uploads: &[Running]) {
    for one in uploads {
        let job = fixture.job(one.job).await;
        assert_eq!((job.state, job.attempt), (JobState::Completed, one.attempt));
        let asset = fixture.asset(one.asset).await;
        assert_eq!((asset.state, asset.spooled), (AssetState::Ready, None));
        let avatar = fixture.read_user(one.owner).await.avatar;
        assert_eq!((avatar.url, avatar.pending), (url(one.asset), None));
        let events = fixture.collection("events").count_documents(doc! { "data.job": one.job.to_string() }).await;
        assert_eq!(events.expect("a count"), 1);
    }
}

/// How often the server was asked for documents that are changed: alone by `findAndModify`, and together by a query that has a
/// field of that name.
async fn asked(fixture: &Fixture, collection: &str, of_several: &str) -> (usize, usize) {
    let (mut alone, mut together) = (0, 0);
    for profiled in fixture.profiled().await {
        let command = profiled.get_document("command").expect("a command");
        alone += usize::from(command.get_str("findAndModify").is_ok_and(|name| name == collection));
        let is_shared = command.get_document("filter").is_ok_and(|filter| filter.contains_key(of_several));
        together += usize::from(is_shared && command.get_str("find").is_ok_and(|name| name == collection));
    }
    (alone, together)
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_end_at_once_share_a_transaction() {
    let fixture = Fixture::sharing().await;
    let uploads = avatars(&fixture, 16).await;
    let ended = fixture.profiling(complete_at_once(&fixture.store, &uploads)).await;
    let commands = asked(&fixture, "assets", "$or").await;
    for (job, ended) in ended {
        let ended = ended.expect("ended");
        let one = uploads.iter().find(|one| one.job == job).expect("one of them");
        assert_eq!((ended.state, ended.url, ended.events.len()), (JobState::Completed, Some(url(one.asset)), 1));
        assert!(ended.file.is_some());
    }
    assert_shown(&fixture, &uploads).await;
    let (alone, together) = commands;
    assert!(together >= 1 && alone + together <= 8, "16 jobs ended: {alone} alone, others in {together} transactions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_another_attempt_holds_spoils_the_end_of_no_other() {
    let fixture = Fixture::sharing().await;
    let mut uploads = avatars(&fixture, 12).await;
    let overtaken = uploads.remove(5);
    fixture.store.jobs().release(overtaken.job, overtaken.attempt).await.expect("released");
    let successor = fixture.claim(overtaken.job).await;
    let mut all = uploads.clone();
    all.insert(5, overtaken);
    for (job, ended) in complete_at_once(&fixture.store, &all).await {
        match job == overtaken.job {
            true => assert!(matches!(ended, Err(Error::Fenced)), "{ended:?}"),
            false => assert_eq!(ended.expect("ended").state, JobState::Completed),
        }
    }
    assert_shown(&fixture, &uploads).await;
    let job = fixture.job(overtaken.job).await;
    assert_eq!((job.state, job.attempt), (JobState::Running, successor.attempt));
    assert_eq!(fixture.asset(overtaken.asset).await.state, AssetState::Pending);
    assert_eq!(fixture.count("events").await, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_asset_is_gone_spoils_the_end_of_no_other() {
    let fixture = Fixture::sharing().await;
    let mut uploads = avatars(&fixture, 12).await;
    let asset = doc! { "_id": bson::oid::ObjectId::from_bytes(uploads[3].asset.bytes()) };
    fixture.collection("assets").delete_one(asset).await.expect("deleted");
    let answers = complete_at_once(&fixture.store, &uploads).await;
    let gone = uploads.remove(3);
    for (job, ended) in answers {
        match job == gone.job {
            true => assert!(matches!(ended, Err(Error::NotFound { what: "asset" })), "{ended:?}"),
            false => assert_eq!(ended.expect("ended").state, JobState::Completed),
        }
    }
    assert_shown(&fixture, &uploads).await;
}

/// Both images of a user, and an older avatar that still runs: whichever statements meet in one command.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_one_user_that_end_at_once_end_as_one_after_the_other() {
    let fixture = Fixture::sharing().await;
    let (mut all, mut avatars, mut covers, mut olders, mut replaced) =
        <(Vec<_>, Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
    for _ in 0..6 {
        let owner = fixture.user().await;
        let before = running(&fixture, owner, Role::Avatar).await;
        fixture.store.complete_upload(before.job, 1, before.asset, stored(before.asset)).await.expect("completed");
        replaced.push(before);
        olders.push(running(&fixture, owner, Role::Avatar).await);
        covers.push(running(&fixture, owner, Role::CoverImage).await);
        avatars.push(running(&fixture, owner, Role::Avatar).await);
    }
    for uploads in [&olders, &covers, &avatars] {
        all.extend(uploads.iter().copied());
    }
    for (_, ended) in complete_at_once(&fixture.store, &all).await {
        ended.expect("ended");
    }
    assert_shown(&fixture, &avatars).await;
    for cover in covers {
        assert_eq!(fixture.read_user(cover.owner).await.cover_image.url, url(cover.asset));
    }
    for (older, state) in olders
        .iter()
        .map(|older| (older, AssetState::Superseded))
        .chain(replaced.iter().map(|one| (one, AssetState::Deleting)))
    {
        assert_eq!(fixture.asset(older.asset).await.state, state);
        assert_eq!(fixture.deletions(older.asset).await, 1);
    }
    for older in olders {
        assert_eq!(fixture.job(older.job).await.state, JobState::Cancelled);
    }
}

/// Two that show one after the other are replaced one after the other, even if one command makes both.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_avatars_of_one_user_that_are_shown_at_once_the_older_is_deleted() {
    let fixture = Fixture::sharing().await;
    let (mut all, mut owners) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let owner = fixture.user().await;
        let older = running(&fixture, owner, Role::Avatar).await;
        let newer = running(&fixture, owner, Role::Avatar).await;
        // As if the newer had been accepted when the older had been shown.
        let user = doc! { "_id": bson::oid::ObjectId::from_bytes(owner.bytes()) };
        let unset = doc! { "$unset": { "steep.avatar.pending": "" } };
        fixture.collection("users").update_one(user, unset).await.expect("changed");
        let asset = doc! { "_id": bson::oid::ObjectId::from_bytes(older.asset.bytes()) };
        let pending = doc! { "$set": { "state": "pending" } };
        fixture.collection("assets").update_one(asset, pending).await.expect("changed");
        all.extend([older, newer]);
        owners.push((older, newer));
    }
    for (_, ended) in complete_at_once(&fixture.store, &all).await {
        ended.expect("ended");
    }
    for (older, newer) in owners {
        assert_eq!(fixture.read_user(newer.owner).await.avatar.url, url(newer.asset));
        assert_eq!(fixture.asset(newer.asset).await.state, AssetState::Ready);
        let state = fixture.asset(older.asset).await.state;
        assert!(matches!(state, AssetState::Deleting | AssetState::Superseded), "{state}");
        assert_eq!(fixture.deletions(older.asset).await, 1);
    }
}

/// A defect.
struct Panicking;

impl Record for Panicking {
    fn record<'a>(&'a self, _: &'a mut Settle<'_>) -> BoxFuture<'a, Result<End, Error>> {
        async { panic!("a defect in a handler") }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defect_is_its_callers_and_spoils_the_end_of_no_other() {
    let fixture = Fixture::sharing().await;
    let mut uploads = avatars(&fixture, 8).await;
    let broken = uploads.pop().expect("one");
    let job = Arc::new(fixture.job(broken.job).await);
    let store = fixture.store.clone();
    let panics =
        tokio::spawn(
            async move { store.jobs().settle(&job, Fence::Attempt(1), Arc::new(Panicking)).await.map(|_| ()) },
        );
    let (answers, panicked) = tokio::join!(complete_at_once(&fixture.store, &uploads), panics);
    assert!(panicked.expect_err("it panics").is_panic());
    for (_, ended) in answers {
        assert_eq!(ended.expect("ended").state, JobState::Completed);
    }
    assert_shown(&fixture, &uploads).await;
    assert_eq!(fixture.job(broken.job).await.state, JobState::Running);
}
