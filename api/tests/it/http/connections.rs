//! Connections: how many, and for how long.

use std::net::Ipv4Addr;
use std::time::Duration;

use testkit::{Client, TestEnv, Wire, jpeg};

use crate::support::{MEDIA, World, submit};

const FILE_BYTES: usize = 9_000_000;

/// A user's upload that is still in the spool, more than what the buffers between two programs hold.
async fn uploaded(world: &World) -> String {
    let member = world.member().await;
    let asset = submit(&member.client, "a.jpg", &jpeg(FILE_BYTES)).await.expect(202);
    format!("{MEDIA}/{}", asset.data()["_id"].as_str().expect("an id"))
}

async fn open(client: &Client, source: u8) -> Wire {
    Wire::open_from(client, Ipv4Addr::new(127, 0, 0, source)).await
}

async fn is_served(wire: &mut Wire) -> bool {
    wire.head("GET", "/healthz", &[]).await;
    // Closed at once, or an answer.
    wire.read_on(b"HTTP/1.1 200".len()).await
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_and_leaves_its_place_to_others() {
    let world =
        World::with(&["--response-idle-timeout=1s", "--max-connections=9", "--max-connections-address=9"]).await;
    let path = uploaded(&world).await;
    let mut readers = Vec::new();
    for _ in 0..8 {
        let mut reader = Wire::open(world.api.client()).await;
        reader.head("GET", &path, &[]).await;
        readers.push(reader);
    }
    // No place is left, until those who do not read have lost theirs. One is the test's own client's.
    let mut others = Vec::new();
    for _ in 0..7 {
        let mut other = Wire::open(world.api.client()).await;
        assert!(is_served(&mut other).await);
        others.push(other);
    }
    drop((others, readers));
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything() {
    let world = World::with(&["--response-idle-timeout=2s"]).await;
    let path = uploaded(&world).await;
    let mut reader = Wire::open(world.api.client()).await;
    reader.head("GET", &path, &[]).await;
    for piece in 0..FILE_BYTES / 100_000 {
        assert!(reader.read_on(100_000).await, "cut off after {piece} pieces");
        // For three times as long as it may read nothing. What the system buffers by itself is more than it reads till then.
        if piece < 20 {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    world.work_off_and_end().await;
}

#[tokio::test]
async fn an_address_has_its_share_of_connections() {
    let world = World::with(&["--max-connections-address=3", "--trusted-proxies=127.0.0.9"]).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut wire = open(world.api.client(), 2).await;
        assert!(is_served(&mut wire).await);
        held.push(wire);
    }
    assert!(!is_served(&mut open(world.api.client(), 2).await).await);
    assert!(is_served(&mut open(world.api.client(), 3).await).await);
    drop(held.pop());
    TestEnv::until("its place is free again", || async { is_served(&mut open(world.api.client(), 2).await).await })
        .await;
    // A proxy speaks for many.
    for _ in 0..6 {
        let mut wire = open(world.api.client(), 9).await;
        assert!(is_served(&mut wire).await);
        held.push(wire);
    }
    world.end().await;
}
