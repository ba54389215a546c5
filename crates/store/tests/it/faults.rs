//! A database that is away, hangs or refuses.

use std::time::{Duration, Instant};

use messages::{AssetId, JobId};
use store::{Claim, Config, Error, JobState, Rescue, Role, Store};
use tokio::net::TcpListener;

use crate::ends::{Ended, Ends};
use crate::proxy::{COMMIT, OnCommit, proxy, proxy_at};
use crate::support::{Fixture, new_user, request, stored, upload, url};

async fn store_at(port: u16) -> Store {
    let uri = format!("mongodb://127.0.0.1:{port}/?replicaSet=rs0");
    let mut config = Config::new(uri.into(), "steep-nowhere", "store-tests").expect("a usable address");
    config.timeout = Duration::from_secs(2);
    Store::connect(&config).await.expect("connecting is lazy")
}

async fn assert_unavailable(store: &Store) {
    let begin = Instant::now();
    let claim = request("worker", &Rescue::LeaseExpired);
    let answers = tokio::join!(
        store.ping(),
        store.users().find(store::new_user_id()),
        store.jobs().claim(JobId::new(), &claim),
        store.media().register(new_user(), vec![upload(Role::Avatar)], None, None),
        store.discard(JobId::new(), 1, "no", true),
    );
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(matches!(answers.0, Err(Error::Unavailable(_))), "{:?}", answers.0);
    assert!(matches!(answers.1, Err(Error::Unavailable(_))), "{:?}", answers.1);
    assert!(matches!(answers.2, Err(Error::Unavailable(_))), "{:?}", answers.2);
    assert!(matches!(answers.3, Err(Error::Unavailable(_))), "{:?}", answers.3);
    assert!(answers.4.as_ref().is_err_and(Error::is_transient), "{:?}", answers.4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_reported_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    assert_unavailable(&store_at(port).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_accepts_and_never_answers_is_reported_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let silent = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    assert_unavailable(&store_at(port).await).await;
    silent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_there_answers() {
    let fixture = Fixture::new().await;
    fixture.store.ping().await.expect("a sign of life");
    fixture.store.takes_writes().await.expect("a write of nothing");
    assert_eq!(fixture.count("jobs").await, 0, "it leaves no trace");
    assert!(format!("{:?} {:?}", fixture.store, fixture.config).contains(fixture.raw.name()));
}

async fn through(proxy: u16, fixture: &Fixture) -> Store {
    let uri = format!("mongodb://127.0.0.1:{proxy}/?directConnection=true");
    let mut config = Config::new(uri.into(), fixture.config.database(), "store-tests").expect("a usable address");
    config.timeout = Duration::from_secs(4);
    config.turns = fixture.config.turns;
    Store::connect(&config).await.expect("a store")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_connection_is_lost_is_made_once() {
    for on_commit in [OnCommit::LoseReply, OnCommit::LoseRequest] {
        let fixture = Fixture::new().await;
        let owner = fixture.user().await;
        let store = through(proxy(on_commit).await, &fixture).await;
        let new = upload(Role::Avatar);
        store.media().replace_image(owner, new.clone(), None).await.expect("accepted");
        assert_eq!(fixture.asset(new.asset).await.seq, 1);
        assert_eq!((fixture.count("assets").await, fixture.count("jobs").await), (1, 1));

        let attempt = fixture.claim(new.job).await.attempt;
        let store = through(proxy(on_commit).await, &fixture).await;
        let outcome = store.complete_upload(new.job, attempt, new.asset, stored(new.asset)).await.expect("completed");
        assert_eq!(outcome.file, Some(new.file));
        assert_eq!(fixture.read_user(owner).await.avatar.url, url(new.asset));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_unknown_and_not_a_failure() {
    let fixture = Fixture::new().await;
    let owner = fixture.user().await;
    let store = through(proxy(OnCommit::Hang).await, &fixture).await;
    let new = upload(Role::Avatar);
    let begin = Instant::now();
    let accepted = store.media().replace_image(owner, new.clone(), None).await;
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!(matches!(accepted, Err(Error::Unknown(_))), "{accepted:?}");
    assert!(fixture.is_in_use(new.file).await, "this time it was committed, so the file must have stayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_share_a_commit_whose_connection_is_lost_are_made_once_each() {
    for on_commit in [OnCommit::LoseReply, OnCommit::LoseRequest] {
        let fixture = Fixture::new().await;
        let store = through(proxy(on_commit).await, &fixture).await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let (store, owner) = (store.clone(), fixture.user().await);
            tasks.spawn(async move { store.media().replace_image(owner, upload(Role::Avatar), None).await });
        }
        for accepted in tasks.join_all().await {
            let accepted = accepted.expect("accepted");
            assert_eq!(accepted.user, fixture.read_user(accepted.user.id).await);
        }
        assert_eq!((fixture.count("assets").await, fixture.count("jobs").await), (12, 12));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_share_a_database_that_never_answers_are_all_told_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let store = store_at(listener.local_addr().expect("an address").port()).await;
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let store = store.clone();
        tasks.spawn(async move { store.media().replace_image(store::new_user_id(), upload(Role::Avatar), None).await });
    }
    for answer in tasks.join_all().await {
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
}

/// Uploads whose attempts have begun.
async fn running(fixture: &Fixture, count: usize) -> Vec<(JobId, AssetId)> {
    let owner = fixture.user().await;
    let mut running = Vec::new();
    for _ in 0..count {
        let job = fixture.submit(owner).await;
        fixture.claim(job.id).await;
        running.push((job.id, job.asset.expect("an asset")));
    }
    running
}

async fn complete_at_once(store: &Store, uploads: &[(JobId, AssetId)]) -> Vec<(JobId, Result<Ended, Error>)> {
    let mut tasks = tokio::task::JoinSet::new();
    for (job, asset) in uploads.iter().copied() {
        let store = store.clone();
        tasks.spawn(async move { (job, store.complete_upload(job, 1, asset, stored(asset)).await) });
    }
    tasks.join_all().await
}

/// The first commit is of the one that came when nobody else had.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_share_a_commit_whose_connection_is_lost_end_once_each() {
    for on_commit in [OnCommit::LoseReply, OnCommit::LoseRequest] {
        let fixture = Fixture::sharing().await;
        let uploads = running(&fixture, 12).await;
        let store = through(proxy_at(on_commit, COMMIT, 2).await, &fixture).await;
        for (job, ended) in complete_at_once(&store, &uploads).await {
            assert_eq!(ended.expect("ended").state, JobState::Completed);
            assert_eq!(fixture.job(job).await.state, JobState::Completed);
        }
        assert_eq!(fixture.count("events").await, 12);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_share_a_commit_without_an_answer_are_all_told_that_it_is_unknown() {
    let fixture = Fixture::sharing().await;
    let uploads = running(&fixture, 12).await;
    let store = through(proxy_at(OnCommit::Hang, COMMIT, 2).await, &fixture).await;
    let (mut unknown, mut unwritten, mut ended_alone) = (Vec::new(), Vec::new(), 0);
    for (job, ended) in complete_at_once(&store, &uploads).await {
        match ended {
            Err(Error::Unknown(_)) => unknown.push(job),
            // It came too late to go along, and met the same silence before a commit.
            Err(Error::Unavailable(_)) => unwritten.push(job),
            ended => ended_alone += usize::from(ended.is_ok()),
        }
    }
    // Looking at its asset, the first one may have met the same silence.
    assert!(unknown.len() >= 2, "{unknown:?}, {unwritten:?} and {ended_alone}");
    for job in unwritten {
        assert_eq!(fixture.job(job).await.state, JobState::Running, "nothing was written");
    }
    for job in unknown {
        let job = fixture.job(job).await;
        assert_eq!(job.state, JobState::Completed, "this time it was committed");
        let again = fixture.store.discard(job.id, job.attempt, "no", true).await;
        assert!(matches!(again, Err(Error::Fenced)), "{again:?}");
    }
}

/// Claims jobs at once, and interferes with the command that most of them share. Each of these is told that the database is not
/// available, which leaves open whether its claim was made. Answers with what comes of claiming it again.
async fn claimed_again_after(on_commit: OnCommit) -> Vec<Claim> {
    let fixture = Fixture::sharing().await;
    let owner = fixture.user().await;
    let mut jobs = Vec::new();
    for _ in 0..12 {
        jobs.push(fixture.submit(owner).await.id);
    }
    let store = through(proxy_at(on_commit, b"updates", 1).await, &fixture).await;
    let mut tasks = tokio::task::JoinSet::new();
    for job in jobs {
        let store = store.clone();
        tasks.spawn(async move { (job, store.jobs().claim(job, &request("worker", &Rescue::LeaseExpired)).await) });
    }
    let (mut untold, mut held) = (Vec::new(), 0);
    for (job, claim) in tasks.join_all().await {
        match claim {
            Ok(Claim::Claimed(claimed)) => held += claimed.attempt,
            Err(Error::Unavailable(_)) => untold.push(job),
            other => panic!("{other:?}"),
        }
    }
    assert!(untold.len() >= 2 && untold.len() + usize::try_from(held).expect("few") == 12, "{untold:?} {held}");
    let mut again = Vec::new();
    for job in untold {
        again.push(store.jobs().claim(job, &request("worker", &Rescue::LeaseExpired)).await.expect("an answer"));
        let job = fixture.job(job).await;
        assert_eq!((job.attempt, job.attempts.len(), job.crashes), (1, 1, 0));
    }
    again
}

fn assert_held_already(claims: &[Claim]) {
    for claim in claims {
        assert!(matches!(claim, Claim::Busy { worker, .. } if worker == "worker"), "{claim:?}");
    }
}

/// What is repeated after an answer that was lost finds the attempt that was begun, and begins no other.
#[tokio::test(flavor = "multi_thread")]
async fn claims_that_share_a_command_whose_answer_is_lost_give_no_attempt_twice() {
    assert_held_already(&claimed_again_after(OnCommit::LoseReply).await);
    for claim in claimed_again_after(OnCommit::LoseRequest).await {
        assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
    }
}

/// One whose time is up is in `jobs::majority`.
#[tokio::test(flavor = "multi_thread")]
async fn claims_that_share_a_command_whose_majority_is_in_doubt_are_not_given_and_were_made_once() {
    assert_held_already(&claimed_again_after(OnCommit::DoubtMajority).await);
}
