//! Uploads that come at once share a transaction, and nothing else.

use bson::doc;
use messages::UserId;
use store::{Accepted, AssetState, Error, IdempotencyKey, JobState, Role, StoredAnswer};
use tokio::task::JoinSet;

use crate::support::{Fixture, upload};

type Answers = Vec<(UserId, Result<Accepted, Error>)>;

/// A new avatar for each of these users, all at once.
async fn replace_at_once(fixture: &Fixture, owners: &[UserId]) -> Answers {
    let mut tasks = JoinSet::new();
    for owner in owners.iter().copied() {
        let store = fixture.store.clone();
        tasks.spawn(async move { (owner, store.media().replace_image(owner, upload(Role::Avatar), None).await) });
    }
    tasks.join_all().await
}

async fn users(fixture: &Fixture, count: usize) -> Vec<UserId> {
    let mut users = Vec::new();
    for _ in 0..count {
        users.push(fixture.user().await);
    }
    users
}

/// Fails unless every user shows exactly the newest of the uploads that were accepted for it, and every other one is out of
/// the way.
async fn assert_newest_wins(fixture: &Fixture, owners: &[UserId], answers: &Answers) {
    for owner in owners {
        let pending = fixture.read_user(*owner).await.avatar.pending.expect("a pending avatar");
        let mut numbers = Vec::new();
        for (_, answer) in answers.iter().filter(|(user, _)| user == owner) {
            let job = &answer.as_ref().expect("accepted").jobs[0];
            let asset = fixture.asset(job.asset.expect("an asset")).await;
            numbers.push((asset.seq, asset.id, asset.state, fixture.job(job.id).await.state));
        }
        numbers.sort_by_key(|number| number.0);
        let seqs: Vec<i64> = numbers.iter().map(|number| number.0).collect();
        let expected: Vec<i64> = (1..=i64::try_from(numbers.len()).expect("few")).collect();
        assert_eq!(seqs, expected, "each upload has a number of its own");
        let newest = numbers.pop().expect("an upload");
        assert_eq!((newest.1, newest.2, newest.3), (pending, AssetState::Pending, JobState::Pending));
        for older in numbers {
            assert_eq!((older.2, older.3), (AssetState::Superseded, JobState::Cancelled));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_users_who_upload_at_once_each_gets_its_own() {
    let fixture = Fixture::sharing().await;
    let owners = users(&fixture, 40).await;
    let answers = replace_at_once(&fixture, &owners).await;
    for (owner, answer) in &answers {
        let accepted = answer.as_ref().expect("accepted");
        assert_eq!(accepted.user, fixture.read_user(*owner).await);
        assert_eq!(accepted.jobs[0], fixture.job(accepted.jobs[0].id).await);
    }
    assert_newest_wins(&fixture, &owners, &answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_one_user_among_others_are_numbered_and_the_newest_wins() {
    let fixture = Fixture::sharing().await;
    let owners = users(&fixture, 6).await;
    let thrice: Vec<UserId> = (0..3).flat_map(|_| owners.clone()).collect();
    let answers = replace_at_once(&fixture, &thrice).await;
    assert_newest_wins(&fixture, &owners, &answers).await;
    let files: usize = answers.iter().map(|(_, answer)| answer.as_ref().expect("accepted").superseded.len()).sum();
    assert_eq!(files, thrice.len() - owners.len(), "the file of each that was superseded is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_cannot_be_accepted_spoils_no_other() {
    let fixture = Fixture::sharing().await;
    let owners = users(&fixture, 12).await;
    let nobody = store::new_user_id();
    let mut all = owners.clone();
    all.insert(6, nobody);
    let answers = replace_at_once(&fixture, &all).await;
    let (refused, accepted): (Answers, Answers) = answers.into_iter().partition(|(owner, _)| *owner == nobody);
    assert!(matches!(refused[0].1, Err(Error::NotFound { what: "user" })), "{refused:?}");
    assert_newest_wins(&fixture, &owners, &accepted).await;
    assert_eq!((fixture.count("assets").await, fixture.count("jobs").await), (12, 12));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_may_share_at_the_same_time() {
    let fixture = Fixture::new().await;
    let second = store::Store::connect(&fixture.config).await.expect("a store");
    let owners = users(&fixture, 10).await;
    let mut tasks = JoinSet::new();
    for store in [&fixture.store, &second] {
        for owner in owners.iter().copied() {
            let store = store.clone();
            tasks.spawn(async move { (owner, store.media().replace_image(owner, upload(Role::Avatar), None).await) });
        }
    }
    let answers = tasks.join_all().await;
    assert_newest_wins(&fixture, &owners, &answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_images_of_a_user_may_come_at_once() {
    let fixture = Fixture::sharing().await;
    let owners = users(&fixture, 12).await;
    let mut tasks = JoinSet::new();
    for owner in owners.iter().copied() {
        for role in [Role::Avatar, Role::CoverImage] {
            let store = fixture.store.clone();
            tasks.spawn(async move { store.media().replace_image(owner, upload(role), None).await.expect("accepted") });
        }
    }
    for accepted in tasks.join_all().await {
        assert_eq!(accepted.superseded, []);
        let job = fixture.job(accepted.jobs[0].id).await;
        let asset = fixture.asset(job.asset.expect("an asset")).await;
        let user = fixture.read_user(asset.owner).await;
        let shown = if asset.role == Role::Avatar { user.avatar } else { user.cover_image };
        assert_eq!((job.state, asset.state, asset.seq), (JobState::Pending, AssetState::Pending, 1));
        assert_eq!(shown.pending, Some(asset.id));
        assert_eq!(shown.content_type, Some(asset.media_type.content_type));
    }
}

/// Accepts a file of each of these at once, with a key.
async fn submit_at_once(fixture: &Fixture, requests: &[(UserId, String)]) -> Vec<(String, Result<Accepted, Error>)> {
    let mut tasks = JoinSet::new();
    for (owner, key) in requests.iter().cloned() {
        let (store, owner) = (fixture.store.clone(), fixture.read_user(owner).await);
        tasks.spawn(async move {
            let scope = "POST /api/v1/media".to_owned();
            let answer = StoredAnswer { status: 202, location: None, body: format!("\"{key}\"") };
            let idempotency = Some((IdempotencyKey { scope, key: key.clone() }, answer));
            (key, store.media().submit(owner, vec![upload(Role::Media)], idempotency, None).await)
        });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_submitted_at_once_share_a_transaction() {
    let fixture = Fixture::sharing().await;
    let requests: Vec<_> = users(&fixture, 16).await.into_iter().map(|owner| (owner, owner.to_string())).collect();
    let answers = fixture.profiling(submit_at_once(&fixture, &requests)).await;
    for (key, answer) in answers {
        let accepted = answer.expect("accepted");
        assert_eq!(accepted.user.id.to_string(), key);
        let job = fixture.job(accepted.jobs[0].id).await;
        assert_eq!((accepted.jobs.len(), &accepted.jobs[0]), (1, &job));
        let asset = fixture.asset(job.asset.expect("an asset")).await;
        assert_eq!((asset.owner, asset.state), (accepted.user.id, AssetState::Pending));
    }
    let counts = (fixture.count("assets").await, fixture.count("jobs").await, fixture.count("idempotency").await);
    assert_eq!(counts, (16, 16, 16));
    let inserts = doc! { "op": "insert", "ns": { "$regex": "jobs$" } };
    let commands = fixture.collection("system.profile").count_documents(inserts).await.expect("a count");
    assert!((1..=8).contains(&commands), "16 submissions were inserted by {commands} commands");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_used_before_or_twice_spoils_no_other_submission() {
    let fixture = Fixture::sharing().await;
    let owners = users(&fixture, 10).await;
    let used = (owners[0], "used before".to_owned());
    for (_, answer) in submit_at_once(&fixture, std::slice::from_ref(&used)).await {
        answer.expect("accepted");
    }
    let mut requests: Vec<_> = owners.iter().map(|owner| (*owner, owner.to_string())).collect();
    requests.insert(4, used);
    requests.insert(5, (owners[1], "used twice".to_owned()));
    requests.push((owners[1], "used twice".to_owned()));
    let mut twice = Vec::new();
    for (key, answer) in submit_at_once(&fixture, &requests).await {
        match (key.as_str(), answer) {
            ("used before", Err(Error::Replayed(first))) => assert_eq!(first.body, "\"used before\""),
            ("used twice", answer) => twice.push(answer.is_ok()),
            (_, answer) => assert_eq!(answer.expect("accepted").user.id.to_string(), key),
        }
    }
    twice.sort_unstable();
    assert_eq!(twice, [false, true]);
    let counts = (fixture.count("assets").await, fixture.count("jobs").await, fixture.count("idempotency").await);
    assert_eq!(counts, (12, 12, 12));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_dead_program_has_locked_holds_up_no_other_submission() {
    let fixture = Fixture::sharing().await;
    let owners = users(&fixture, 4).await;
    let mut session = fixture.raw.client().start_session().await.expect("a session");
    session.start_transaction().await.expect("a transaction");
    let locked = doc! { "_id": { "scope": "POST /api/v1/media", "key": "locked" } };
    fixture.collection("idempotency").insert_one(locked).session(&mut session).await.expect("locked");

    let (store, owner) = (fixture.store.clone(), fixture.read_user(owners[0]).await);
    let key = IdempotencyKey { scope: "POST /api/v1/media".to_owned(), key: "locked".to_owned() };
    let answer = StoredAnswer { status: 202, location: None, body: String::new() };
    let waiting =
        tokio::spawn(
            async move { store.media().submit(owner, vec![upload(Role::Media)], Some((key, answer)), None).await },
        );
    // The only turn is its own.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let requests: Vec<_> = owners[1..].iter().map(|owner| (*owner, owner.to_string())).collect();
    for (_, answer) in submit_at_once(&fixture, &requests).await {
        answer.expect("accepted");
    }
    assert!(!waiting.is_finished(), "the others had to wait for it");
    session.abort_transaction().await.expect("unlocked");
    waiting.await.expect("no panic").expect("accepted");
}
