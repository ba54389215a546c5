//! How many streams there may be, and how much of what nobody reads.

use std::time::{Duration, Instant};

use testkit::TestEnv;

use super::{EVENTS, change, follow, silent, upload};
use crate::support::{LOGOUT, World, assert_refused};

#[tokio::test]
async fn a_user_has_so_many_streams_and_another_one_as_soon_as_one_has_hung_up() {
    let world = World::with(&["--user-max-streams=2"]).await;
    let (ada, grace) = (world.member().await, world.member().await);
    let (first, _second) = (follow(&ada).await, follow(&ada).await);
    let refused = ada.client.follow(EVENTS, None).await.expect_err("a third one");
    assert_refused(&refused, 429, &[]);
    assert_ne!(refused.header("retry-after"), "");
    assert!(refused.body["detail"].as_str().is_some_and(|text| text.contains("USER_MAX_STREAMS")), "{}", refused.body);
    let _of_another = follow(&grace).await;

    drop(first);
    let began = Instant::now();
    TestEnv::until("its place is free", async || ada.client.follow(EVENTS, None).await.is_ok()).await;
    // Not by a heartbeat, which finds it out too.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    world.end().await;
}

#[tokio::test]
async fn streams_leave_half_of_the_connections_to_everything_else() {
    let world = World::with(&["--max-connections=12", "--max-connections-address=12"]).await;
    let (ada, grace) = (world.member().await, world.member().await);
    let mut streams = Vec::new();
    for member in [&ada, &grace].into_iter().cycle().take(6) {
        streams.push(follow(member).await);
    }
    for member in [&ada, &grace] {
        let refused = member.client.follow(EVENTS, None).await.expect_err("a seventh one");
        assert_refused(&refused, 503, &[]);
        assert_ne!(refused.header("retry-after"), "");
    }
    world.api.get("/readyz").await.expect(200);
    upload(&ada).await;
    drop(streams);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off_and_costs_nobody_anything() {
    let world = World::with(&["--response-idle-timeout=1s", "--user-max-streams=2"]).await;
    let member = world.member().await;
    let job = upload(&member).await;
    let mut silent = silent(&member).await;
    let mut reads = follow(&member).await;
    reads.until(&job, "queued").await;
    assert!(member.client.follow(EVENTS, None).await.is_err(), "both have their place");

    TestEnv::until("the silent one has lost its place", async || {
        change(&world, &member).await;
        // Whoever reads is told meanwhile.
        let told = reads.next().await.expect("an event");
        assert_eq!(told.job(), job);
        member.client.follow(EVENTS, None).await.is_ok()
    })
    .await;
    silent.until_hung_up().await;
    drop(reads);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_stream_ends_after_its_session() {
    let world = World::start().await;
    let (ada, grace) = (world.member().await, world.member().await);
    let (mut ended, mut other) = (follow(&ada).await, follow(&grace).await);
    let signed_out = ada.client.request(reqwest::Method::POST, LOGOUT);
    ada.client.send(signed_out).await.expect(200);
    assert!(ended.next().await.is_none());
    let job = upload(&grace).await;
    other.until(&job, "queued").await;
    drop(other);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn a_stream_with_nothing_to_tell_shows_that_it_lives() {
    let world = World::start().await;
    let member = world.member().await;
    let mut stream = follow(&member).await;
    // Nothing becomes of anything for longer than the heartbeat.
    let silence = tokio::time::timeout(Duration::from_secs(17), stream.next()).await;
    assert!(silence.is_err() && stream.comments >= 1, "{silence:?} {stream:?}");
    let job = upload(&member).await;
    stream.until(&job, "queued").await;
    drop(stream);
    world.work_off_and_end().await;
}
