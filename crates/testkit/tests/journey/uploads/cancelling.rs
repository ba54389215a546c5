//! A client cancels an upload that a worker is at.

use std::time::Duration;

use cloudinary_local::{Effect, Fault, Moment};
use messages::Event;
use reqwest::Method;
use serde_json::json;
use testkit::{Answer, Client, TestEnv, jpeg, mp4};

/// By its lease alone a worker would learn of a cancellation after half a minute.
const LEASE: Duration = Duration::from_secs(300);

async fn cancel(client: &Client, job: &str) -> Answer {
    client.send(client.request(Method::DELETE, &format!("/api/v1/jobs/{job}"))).await
}

/// Waits until every job has ended, the deletions among them, and no worker is at any.
async fn until_all_ended(env: &TestEnv) {
    TestEnv::until("every job has ended", async || {
        env.store().jobs().queue_ages().await.is_ok_and(|unfinished| unfinished.is_empty())
    })
    .await;
    env.until_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_avatar_is_cancelled_and_the_one_before_is_shown_again() {
    let env = TestEnv::start().await;
    env.host().listen().await;
    let (api, _worker) = (env.api().await, env.worker_with(|config| config.settings.lease = LEASE).await);
    let (user, first) = api.new_user(jpeg(2_000)).await;
    user.wait_for_job(&first.job(0), &["completed"]).await;
    let ready = env.host().next_event().await;
    assert!(matches!(ready, Event::MediaReady(_)), "{ready:?}");
    let before = user.current_user().await;

    // It is stored, and its worker waits for the answer.
    let hang = env.media().install_fault(Fault::new(Effect::Hang { at: Moment::AfterStoring }).on("upload"));
    let second = user.replace_avatar(jpeg(3_000)).await.expect(202).job(0);
    let is_struck = || env.media().faults().iter().any(|known| known.id == hang && known.struck > 0);
    TestEnv::until("it hangs", async || is_struck() && env.media().assets().len() == 2).await;
    let cancelled = cancel(&user, &second).await.expect(200);
    let job = cancelled.data();
    assert_eq!((&job["state"], &job["attempts"][0]["outcome"]), (&json!("cancelled"), &json!("cancelled")), "{job}");
    let after = user.current_user().await;
    assert_eq!((&after["avatar"], &after["processing"]), (&before["avatar"], &before["processing"]));
    let Event::MediaCancelled(event) = env.host().next_event().await else { panic!("not cancelled") };
    assert_eq!((event.job.to_string(), event.reason.as_str()), (second.clone(), "cancelled by its owner"));

    TestEnv::until("its file goes", async || env.spooled_files() == 0).await;
    until_all_ended(&env).await;
    assert_eq!(env.media().assets().len(), 1, "the first one alone");
    assert_eq!(user.current_user().await["avatar"], before["avatar"]);
    assert_eq!(cancel(&user, &second).await.expect(409).body["type"], "urn:steep:problem:job-ended");
    api.stop().await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transfer_of_a_film_ends_when_that_is_cancelled() {
    const MEGABYTE: u64 = 1_000_000;
    let env = TestEnv::start().await;
    let at_once = |config: &mut worker::Config| {
        config.settings.lease = LEASE;
        config.cloudinary.chunk_size = 100 * MEGABYTE;
    };
    let (api, _worker) = (env.api().await, env.worker_with(at_once).await);
    let (user, first) = api.new_user(jpeg(2_000)).await;
    user.wait_for_job(&first.job(0), &["completed"]).await;
    // A quarter of a minute for all of it.
    let slow = Effect::SlowRead { bytes_per_second: 4 * MEGABYTE };
    env.media().install_fault(Fault::new(slow).on("upload"));
    let before = env.media().traffic().body_bytes;
    let arrived = || env.media().traffic().body_bytes - before;
    let film = user.submit("film.mp4", mp4(60_000_000)).await.expect(202).job(0);
    TestEnv::until("it arrives", async || arrived() > MEGABYTE).await;
    cancel(&user, &film).await.expect(200);

    TestEnv::until("its file goes", async || env.spooled_files() == 0).await;
    until_all_ended(&env).await;
    // What was in the network's buffers may still arrive. All of it would have, had the worker gone on.
    println!("{} bytes arrived", arrived());
    assert!(arrived() < 40 * MEGABYTE, "{} bytes arrived", arrived());
    assert_eq!(env.media().assets().len(), 1, "the avatar");
    let job = user.wait_for_job(&film, &["cancelled"]).await;
    assert_eq!(job["attempt"], 1, "{job}");
    api.stop().await;
    env.finish().await;
}
