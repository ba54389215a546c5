//! A database that is away, hangs or refuses.

use std::time::{Duration, Instant};

use messages::JobId;
use store::{Config, Error, Rescue, Role, Store};
use tokio::net::TcpListener;

use crate::support::{Fixture, LEASE, new_user, upload};

async fn store_at(port: u16) -> Store {
    let uri = format!("mongodb://127.0.0.1:{port}/?replicaSet=rs0");
    let mut config = Config::new(uri.into(), "steep-nowhere", "store-tests").expect("a usable address");
    config.timeout = Duration::from_secs(2);
    Store::connect(&config).await.expect("connecting is lazy")
}

async fn assert_unavailable(store: &Store) {
    let begin = Instant::now();
    let answers = tokio::join!(
        store.ping(),
        store.find_user(store::new_user_id()),
        store.claim(JobId::new(), "worker", LEASE, &Rescue::LeaseExpired, 3),
        store.register(new_user(), vec![upload(Role::Avatar)], None, None),
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
    assert!(format!("{:?} {:?}", fixture.store, fixture.config).contains("steep-store-"));
}
