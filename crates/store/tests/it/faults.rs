//! A database that is away, hangs or refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use messages::{AssetId, JobId};
use store::{Claim, Config, Error, JobState, Rescue, Role, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::ends::{Ended, Ends};
use crate::support::{Fixture, new_user, request, stored, upload, uri, url};

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

/// What a proxy does when it sees a certain request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnCommit {
    /// Passes it on and cuts the connection before the reply.
    LoseReply,
    /// Cuts the connection before the server has it.
    LoseRequest,
    /// Passes it on, and from then on nothing gets through in either direction.
    Hang,
}

const COMMIT: &[u8] = b"commitTransaction";

/// Stands between the store and the database and interferes once, with the first commit.
async fn proxy(on_commit: OnCommit) -> u16 {
    proxy_at(on_commit, COMMIT, 1).await
}

/// Interferes with the request that is the `turn`th with these words in it.
async fn proxy_at(on_commit: OnCommit, words: &'static [u8], turn: usize) -> u16 {
    let upstream: std::net::SocketAddr = {
        let options = mongodb::options::ConnectionString::parse(uri()).expect("an address");
        let mongodb::options::HostInfo::HostIdentifiers(hosts) = options.host_info else { panic!("a plain address") };
        hosts.first().expect("a host").to_string().parse().expect("a numeric address")
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (left, hung) = (Arc::new(AtomicUsize::new(turn)), Arc::new(AtomicBool::new(false)));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(upstream).await.expect("the database");
            tokio::spawn(pass(client, server, on_commit, words, Arc::clone(&left), Arc::clone(&hung)));
        }
    });
    port
}

async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    on_commit: OnCommit,
    words: &'static [u8],
    left: Arc<AtomicUsize>,
    hung: Arc<AtomicBool>,
) -> std::io::Result<()> {
    let (mut request, mut reply) = ([0; 65536], [0; 65536]);
    loop {
        let passing = tokio::select! {
            read = client.read(&mut request) => request.get(..read?).map(|bytes| (true, bytes)),
            read = server.read(&mut reply) => reply.get(..read?).map(|bytes| (false, bytes)),
        };
        let Some((from_client, bytes)) = passing.filter(|(_, bytes)| !bytes.is_empty()) else { return Ok(()) };
        if hung.load(Ordering::SeqCst) {
            continue;
        }
        if !from_client {
            client.write_all(bytes).await?;
            continue;
        }
        let fits = bytes.windows(words.len()).any(|window| window == words);
        // Wraps after the last, and is never at one again.
        let interfering = fits && left.fetch_sub(1, Ordering::SeqCst) == 1;
        if interfering && on_commit == OnCommit::LoseRequest {
            return Ok(());
        }
        server.write_all(bytes).await?;
        if interfering && on_commit == OnCommit::Hang {
            hung.store(true, Ordering::SeqCst);
        }
        if interfering && on_commit == OnCommit::LoseReply {
            // The server has committed once it answers.
            server.readable().await?;
            return Ok(());
        }
    }
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

/// What is repeated after an answer that was lost finds the attempt that was begun, and begins no other.
#[tokio::test(flavor = "multi_thread")]
async fn claims_that_share_a_command_whose_answer_is_lost_give_no_attempt_twice() {
    for on_commit in [OnCommit::LoseReply, OnCommit::LoseRequest] {
        let fixture = Fixture::sharing().await;
        let owner = fixture.user().await;
        let mut jobs = Vec::new();
        for _ in 0..12 {
            jobs.push(fixture.submit(owner).await.id);
        }
        let store = through(proxy_at(on_commit, b"updates", 1).await, &fixture).await;
        let mut tasks = tokio::task::JoinSet::new();
        for job in jobs.clone() {
            let store = store.clone();
            tasks.spawn(async move { (job, store.jobs().claim(job, &request("worker", &Rescue::LeaseExpired)).await) });
        }
        let (mut lost, mut held) = (Vec::new(), 0);
        for (job, claim) in tasks.join_all().await {
            match claim {
                Ok(Claim::Claimed(claimed)) => held += claimed.attempt,
                Err(Error::Unavailable(_)) => lost.push(job),
                other => panic!("{other:?}"),
            }
        }
        assert!(lost.len() >= 2 && lost.len() + usize::try_from(held).expect("few") == 12, "{lost:?} {held}");
        for job in lost {
            match (on_commit, store.jobs().claim(job, &request("worker", &Rescue::LeaseExpired)).await) {
                (OnCommit::LoseReply, Ok(Claim::Busy { worker, .. })) => assert_eq!(worker, "worker"),
                (OnCommit::LoseRequest, Ok(Claim::Claimed(_))) => {}
                (_, other) => panic!("{other:?}"),
            }
            let job = fixture.job(job).await;
            assert_eq!((job.attempt, job.attempts.len(), job.crashes), (1, 1, 0));
        }
    }
}
