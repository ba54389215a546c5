//! Jobs that are claimed at once share a command, and jobs that end at once a transaction; and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::doc;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use messages::{AssetId, JobId, UserId};
use store::{AssetState, Claim, ClaimRequest, End, Error, Fence, JobState, Record, Rescue, Role, Settle, Store};
use tokio::task::JoinSet;

use crate::ends::{Ended, Ends};
use crate::support::{CRASHES, Fixture, LEASE, claimed, first, stored, upload, url};

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
    // More than share a transaction.
    let mut uploads = avatars(&fixture, 40).await;
    let asset = doc! { "_id": bson::oid::ObjectId::from_bytes(uploads[20].asset.bytes()) };
    fixture.collection("assets").delete_one(asset).await.expect("deleted");
    let answers = complete_at_once(&fixture.store, &uploads).await;
    let gone = uploads.remove(20);
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

pub(super) async fn waiting(fixture: &Fixture, count: usize) -> Vec<JobId> {
    let owner = fixture.user().await;
    let mut jobs = Vec::new();
    for _ in 0..count {
        jobs.push(fixture.submit(owner).await.id);
    }
    jobs
}

pub(super) type Claims = Vec<(JobId, Result<Claim, Error>)>;

/// Claims all of these at once, for a worker in which others run.
pub(super) async fn claim_at_once(store: &Store, worker: &'static str, jobs: &[JobId]) -> Claims {
    let mut tasks = JoinSet::new();
    for job in jobs.iter().copied() {
        let store = store.clone();
        tasks.spawn(async move {
            let rescue = &Rescue::LeaseExpired;
            let request = ClaimRequest { worker, lease: LEASE, rescue, max_crashes: CRASHES, exclusive: false };
            (job, store.jobs().claim(job, &request).await)
        });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_are_claimed_at_once_share_a_command() {
    let fixture = Fixture::sharing().await;
    let jobs = waiting(&fixture, 16).await;
    let claims = fixture.profiling(claim_at_once(&fixture.store, "worker", &jobs)).await;
    let commands = asked(&fixture, "jobs", "claim").await;
    for (id, claim) in claims {
        let claimed = claimed(claim.expect("an answer"));
        let job = fixture.job(id).await;
        assert_eq!((&job, job.attempt, job.state), (&*claimed.job, 1, JobState::Running));
        assert_eq!((job.worker.as_deref(), job.attempts.len()), (Some("worker"), 1));
    }
    let (alone, together) = commands;
    assert!(
        together >= 1 && alone + together <= 8,
        "16 jobs were claimed: {alone} alone, others in {together} commands"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_claimed_alone_costs_one_command() {
    let fixture = Fixture::sharing().await;
    let jobs = waiting(&fixture, 1).await;
    fixture.profiling(claim_at_once(&fixture.store, "worker", &jobs)).await;
    let commands = fixture.profiled().await;
    assert_eq!(commands.len(), 1, "{commands:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_workers_that_claim_the_same_jobs_at_once_one_gets_each() {
    let fixture = Fixture::sharing().await;
    let other = Store::connect(&fixture.config).await.expect("a store");
    for _ in 0..8 {
        let jobs = waiting(&fixture, 12).await;
        let (ours, theirs) =
            tokio::join!(claim_at_once(&fixture.store, "one", &jobs), claim_at_once(&other, "other", &jobs));
        for ((worker, rival), answers) in [(("one", "other"), ours), (("other", "one"), theirs)] {
            for (id, claim) in answers {
                let holder = fixture.job(id).await.worker.expect("a worker");
                match claim.expect("an answer") {
                    Claim::Claimed(claimed) => assert_eq!((holder.as_str(), claimed.attempt), (worker, 1)),
                    Claim::Busy { worker, .. } => assert_eq!((holder.as_str(), worker.as_str()), (rival, rival)),
                    other => panic!("{other:?}"),
                }
            }
        }
        for id in jobs {
            assert_eq!(fixture.job(id).await.attempts.len(), 1);
        }
    }
}

/// Why a job is not to be had is told to its claim alone.
#[tokio::test(flavor = "multi_thread")]
async fn every_claim_among_others_is_told_what_it_would_be_alone() {
    let fixture = Fixture::sharing().await;
    let jobs = waiting(&fixture, 12).await;
    let nobodys = JobId::new();
    fixture.claim(jobs[0]).await;
    let attempt = fixture.claim(jobs[1]).await.attempt;
    fixture.store.discard(jobs[1], attempt, "no", true).await.expect("discarded");
    fixture.crash(jobs[2]).await;
    for _ in 1..CRASHES {
        fixture.crash(jobs[3]).await;
    }
    for _ in 0..CRASHES {
        fixture.crash(jobs[4]).await;
    }
    let malformed = doc! { "_id": jobs[5].to_string() };
    fixture.collection("jobs").update_one(malformed, doc! { "$set": { "crashes": "many" } }).await.expect("changed");
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut all = jobs.clone();
    all.insert(6, nobodys);
    // Twice the same: one gets it.
    all.push(jobs[7]);
    let mut twice = Vec::new();
    for (id, claim) in claim_at_once(&fixture.store, "another", &all).await {
        let said = format!("{id}: {claim:?}");
        if id == jobs[7] {
            twice.push(claim);
            continue;
        }
        match (jobs.iter().position(|job| *job == id), claim) {
            (Some(0), Ok(Claim::Busy { worker, .. })) => assert_eq!(worker, "worker"),
            (Some(1), Ok(Claim::Finished(JobState::Discarded)))
            | (Some(3), Ok(Claim::LastChance))
            | (Some(4), Ok(Claim::Poisoned(_)))
            | (Some(5), Err(Error::Corrupt { .. } | Error::Database(_)))
            | (None, Ok(Claim::Unknown)) => {}
            (Some(2), Ok(Claim::Claimed(claimed))) => assert_eq!((claimed.attempt, claimed.job.crashes), (2, 1)),
            (Some(6..), Ok(Claim::Claimed(claimed))) => assert_eq!(claimed.attempt, 1),
            _ => panic!("{said}"),
        }
    }
    let [Ok(one), Ok(other)] = &twice[..] else { panic!("{twice:?}") };
    let got = [one, other].into_iter().filter(|claim| matches!(claim, Claim::Claimed(_))).count();
    assert_eq!((got, fixture.job(jobs[7]).await.attempt), (1, 1), "{twice:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_an_open_transaction_has_locked_holds_up_the_claim_of_no_other() {
    let fixture = Fixture::sharing().await;
    let jobs = waiting(&fixture, 10).await;
    let locked = jobs[5];
    let mut session = fixture.raw.client().start_session().await.expect("a session");
    session.start_transaction().await.expect("a transaction");
    let all = fixture.collection("jobs");
    let lock = all.update_one(doc! { "_id": locked.to_string() }, doc! { "$set": { "x": 1 } });
    lock.session(&mut session).await.expect("locked");

    let (store, all) = (fixture.store.clone(), jobs.clone());
    let claims = tokio::spawn(async move { claim_at_once(&store, "worker", &all).await });
    let others = doc! { "state": JobState::Running.as_str(), "attempt": 1 };
    let deadline = Instant::now() + Duration::from_secs(8);
    while fixture.collection("jobs").count_documents(others.clone()).await.expect("a count") < 9 {
        assert!(Instant::now() < deadline, "the others wait for the one that is locked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    session.abort_transaction().await.expect("unlocked");
    for (id, claim) in claims.await.expect("no panic") {
        assert_eq!(claimed(claim.expect("an answer")).attempt, 1);
        assert_eq!(fixture.job(id).await.attempts.len(), 1);
    }
}
