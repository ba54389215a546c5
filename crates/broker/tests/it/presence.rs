//! Who is there.

use broker::{Consumer, Error};

use crate::proxy::{Passage, Proxy};
use crate::support::{Host, config, deletions, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_present_while_its_connection_is() {
    let host = Host::new();
    let publisher = host.publisher().await;
    let proxy = Proxy::new(&host, Passage::Open).await;
    let watcher = host.consumer("watcher", &deletions(1), &publisher).await;
    let presence = watcher.presence();
    assert_eq!(presence.is_present("holder").await.ok(), Some(false));

    let holder = Consumer::start(&config(&proxy.url), "holder", &deletions(1), &publisher);
    eventually("the holder is seen", async || presence.is_present("holder").await.is_ok_and(|there| there)).await;
    eventually("it sees itself", async || holder.presence().is_present("holder").await.is_ok_and(|there| there)).await;

    // As a kill does: the connection breaks without a word.
    proxy.set(Passage::Refused);
    eventually("it is missed", async || presence.is_present("holder").await.is_ok_and(|there| !there)).await;
    let error = holder.presence().is_present("watcher").await.expect_err("it cannot know");
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");

    proxy.set(Passage::Open);
    eventually("it is back", async || presence.is_present("holder").await.is_ok_and(|there| there)).await;
    holder.close().await;
    // Its queue goes once the broker has ended the connection.
    eventually("it is gone", async || presence.is_present("holder").await.is_ok_and(|there| !there)).await;
    assert_eq!(presence.is_present("watcher").await.ok(), Some(true));
}
