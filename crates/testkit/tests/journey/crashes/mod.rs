//! The programs crash at every named point of the path, are started again, and all ends as if nothing had been.
//!
//! A crash is an abort: no destructor runs and nothing is flushed. Each line of the tables is one crash in a env of its own.

mod env;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use cloudinary_local::{Effect, Fault, Moment};
use crash_points::{Point, VARIABLE};
use futures_util::{FutureExt, StreamExt};
use mongodb::bson::{DateTime, Document, doc};
use reqwest::Method;
use store::{Claim, ClaimRequest, JobState, Rescue, Wish};
use testkit::{Api, Client, Leftovers, TestEnv, jpeg, process};

use crate::support;
use env::{CrashEnv, submission};

/// Crashes at once. Most of the time they wait: for a lease, a connection, a relay's turn.
const AT_ONCE: usize = 8;

/// The api, while it accepts an avatar: before the change is durable, and after.
const ACCEPT_BEFORE: &[&str] = &["spool.written", "spool.synced", "spool.renamed", "store.transaction.open"];
const ACCEPT_AFTER: &[&str] = &[
    "store.transaction.committed",
    "broker.publish.begun",
    "broker.publish.sent",
    "broker.publish.confirmed",
    "store.job.marked",
];
/// The worker, while it moves one.
const UPLOAD: &[&str] = &[
    "worker.decoded",
    "worker.claimed",
    "cloudinary.sending",
    "cloudinary.sending#6",
    "cloudinary.answered",
    "worker.performed",
    "store.transaction.open",
    "store.transaction.committed",
    "worker.recorded",
    "worker.unlinked",
    "worker.settled",
    "worker.event.published",
    "worker.event.marked",
];
/// The relay, while it publishes an event that a worker left which died too early.
const EVENT: &[&str] = &["relay.events.taken", "worker.event.marked"];
/// The relay, while it publishes what nobody else has.
const RELAY: &[&str] =
    &["relay.taken", "broker.publish.begun", "broker.publish.sent", "broker.publish.confirmed", "store.job.marked"];
/// The worker, after a failure that passes, and the relay that brings the job back.
const RETRY: &[&str] = &[
    "worker.performed",
    "worker.recorded",
    "worker.settled",
    "relay.taken",
    "broker.publish.confirmed",
    "store.job.marked",
];
/// The worker, while it discards a job.
const DISCARD: &[&str] = &[
    "worker.performed",
    "store.transaction.open",
    "store.transaction.committed",
    "worker.recorded",
    "worker.unlinked",
    "worker.settled",
];
/// The worker, while it deletes what a newer avatar has replaced. Its first transaction is that of the upload.
const DELETE: &[&str] = &[
    "store.transaction.committed",
    "broker.publish.begun=media.delete.v1",
    "broker.publish.sent=media.delete",
    "broker.publish.confirmed=media.delete.v1",
    "store.job.marked",
    "worker.decoded=media.delete.v1",
    "worker.claimed=media.delete.v1",
    "worker.performed=media.delete.v1",
    "store.transaction.open#2",
    "store.transaction.committed#2",
    "worker.recorded=media.delete.v1",
    "worker.unlinked=media.delete.v1",
    "worker.settled=media.delete.v1",
];
/// The worker, while it counts a channel.
const RECOMPUTE: &[&str] = &[
    "broker.publish.begun",
    "broker.publish.sent",
    "broker.publish.confirmed",
    "store.job.marked",
    "worker.decoded",
    "worker.claimed",
    "worker.performed",
    "store.transaction.open",
    "store.transaction.committed",
    "worker.recorded",
    "worker.unlinked",
    "worker.settled",
];
/// The worker, told to stop while it uploads.
const SHUTDOWN: &[&str] = &["worker.released", "worker.settled"];
/// The sweeper, among files without an owner.
const SWEEP: &[&str] = &["sweeper.abandoned", "sweeper.judged", "sweeper.removed"];
/// The sweeper, when a discarded upload's time is up.
const EXPIRE: &[&str] = &["sweeper.forgot"];

#[test]
fn every_point_is_one_at_which_something_crashes() {
    let tables =
        [ACCEPT_BEFORE, ACCEPT_AFTER, UPLOAD, EVENT, RELAY, RETRY, DISCARD, DELETE, RECOMPUTE, SHUTDOWN, SWEEP, EXPIRE];
    let named: Vec<&str> = tables.concat().iter().filter_map(|at| at.split(['=', '#']).next()).collect();
    for point in Point::ALL {
        assert!(named.contains(&point.name()), "{} is in no table", point.name());
    }
}

/// Tells a story once for each point, and fails with the points at which it ended otherwise.
async fn at_each(points: &[&'static str], story: impl AsyncFn(&'static str)) {
    let rows = points.iter().map(|&point| {
        let told = AssertUnwindSafe(story(point)).catch_unwind();
        async move { told.await.is_err().then_some(point) }
    });
    let failed: Vec<&str> =
        futures_util::stream::iter(rows).buffer_unordered(AT_ONCE).filter_map(async |row| row).collect().await;
    assert!(failed.is_empty(), "it ended otherwise after a crash at {failed:?}");
}

/// Arranges work for a worker, which crashes at a point of it; another one finishes it, and `expect` looks at the outcome. What is
/// left then is what the jobs that were discarded need.
async fn at_each_a_worker<A>(
    points: &[&'static str],
    arrange: impl AsyncFn() -> (CrashEnv, A),
    expect: impl AsyncFn(&CrashEnv, A),
) {
    at_each(points, async |at| {
        let (env, arranged) = arrange().await;
        env.crash_worker(at).await;
        let worker = env.worker();
        expect(&env, arranged).await;
        let files = usize::try_from(env.count("jobs", doc! { "state": JobState::Discarded.as_str() }).await);
        let leftovers = Leftovers { files: files.expect("a number"), ..Leftovers::default() };
        env.finish_with(worker, leftovers).await;
    })
    .await;
}

fn uploads_answer(status: u16) -> Fault {
    let at = Moment::BeforeStoring;
    Fault::new(Effect::Status { status, message: None, html: None, retry_after: None, at }).on("upload")
}

/// The user's avatar is accepted and its job published.
async fn accepted(env: CrashEnv) -> (CrashEnv, (Api, Client, String)) {
    let accepted = env.accept().await;
    (env, accepted)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_crashes_before_an_upload_is_durable_leaves_nothing() {
    at_each(ACCEPT_BEFORE, async |at| {
        let env = CrashEnv::new().await;
        let (api, client) = support::api_with(&env, "doomed-api", &[(VARIABLE, at.to_owned())]).await;
        let user = client.with_token(&env.token);
        let sent = user.try_send(submission(&user, env.picture.clone(), "a-key")).await;
        assert!(sent.is_err(), "{sent:?}");
        env.crashed(api, at).await;

        let worker = env.worker();
        env.is_untouched().await;
        // The client asks again, as clients do that got no answer.
        let (api, client) = support::api(&env, "api").await;
        let user = client.with_token(&env.token);
        let job = env.submit(&user, "a-key").await.job(0);
        user.wait_for_job(&job, &["completed"]).await;
        assert_eq!(env.media().assets().len(), 1);
        process::end(api).await.expect("it lives");
        env.finish(worker).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_crashes_after_an_upload_is_durable_has_it_finished_once() {
    at_each(ACCEPT_AFTER, async |at| {
        let env = CrashEnv::new().await;
        let (api, client) = support::api_with(&env, "doomed-api", &[(VARIABLE, at.to_owned())]).await;
        let user = client.with_token(&env.token);
        let sent = user.try_send(submission(&user, env.picture.clone(), "a-key")).await;
        assert!(at != "store.transaction.committed" || sent.is_err(), "{sent:?}");
        env.crashed(api, at).await;

        let worker = env.worker();
        let (api, client) = support::api(&env, "api").await;
        let user = client.with_token(&env.token);
        // Whether or not there was an answer, asking again gets it and does nothing else.
        let again = env.submit(&user, "a-key").await;
        if let Ok(first) = sent {
            assert_eq!(first.expect(202).body, again.body);
        }
        user.wait_for_job(&again.job(0), &["completed"]).await;
        env.settled(0).await;
        let assets = env.media().assets();
        assert_eq!(assets.len(), 1);
        assert_eq!(env.media().read(&assets[0]).await.expect("its bytes"), env.picture);
        assert_eq!((env.count("assets", doc! {}).await, env.count("jobs", doc! {}).await), (1, 1));
        process::end(api).await.expect("it lives");
        env.finish(worker).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_crashes_around_its_transaction_changes_the_avatar_once_or_not_at_all() {
    at_each(&["store.transaction.open", "store.transaction.committed"], async |at| {
        let env = CrashEnv::new().await;
        let (api, client) = support::api_with(&env, "doomed-api", &[(VARIABLE, at.to_owned())]).await;
        let user = client.with_token(&env.token);
        let form = testkit::Upload::new().file("avatar", "me.jpg", env.picture.clone()).form();
        let sent = user.try_send(user.request(Method::PATCH, "/api/v1/users/avatar").multipart(form)).await;
        assert!(sent.is_err(), "{sent:?}");
        env.crashed(api, at).await;
        let worker = env.worker();
        match at {
            "store.transaction.open" => env.is_untouched().await,
            _ => env.shows_the_avatar(1).await,
        }
        env.finish(worker).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_during_an_upload_is_replaced_and_the_upload_happens_once() {
    at_each_a_worker(
        UPLOAD,
        async || accepted(CrashEnv::new().await).await,
        async |env, _| env.shows_the_avatar(1).await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_after_the_host_did_its_work_and_before_the_answer_does_it_once() {
    for action in ["upload", "destroy"] {
        let env = CrashEnv::new().await;
        let (_api, user, job) = env.accept().await;
        if action == "destroy" {
            let first = env.env.worker().await;
            user.wait_for_job(&job, &["completed"]).await;
            first.shutdown(std::future::ready(())).await;
        }
        let host = env.media();
        host.install_fault(Fault::new(Effect::Hang { at: Moment::AfterStoring }).on(action).times(1));
        let mut doomed = env.doomed_worker("worker.performed=nothing", &[]);
        let (env, change) = match action {
            "upload" => (env, 1),
            _ => {
                let env = CrashEnv { picture: jpeg(5_000), ..env };
                user.replace_avatar(env.picture.clone()).await.expect(202);
                (env, 2)
            }
        };
        let host = env.media();
        TestEnv::until("the host has done its work", async || {
            let struck = host.faults().iter().any(|fault| fault.struck > 0);
            struck && host.assets().len() == 1
        })
        .await;
        doomed.kill();
        let worker = env.worker();
        env.shows_the_avatar(change).await;
        env.finish(worker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_crashes_leaves_the_job_to_another_relay() {
    let arrange = async || {
        let env = CrashEnv::new().await;
        let accepted = env.accept_in_silence().await;
        (env, accepted)
    };
    at_each_a_worker(RELAY, arrange, async |env, _| env.shows_the_avatar(1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_survives_a_worker_that_dies_before_publishing_it_and_a_relay_that_does() {
    at_each(EVENT, async |at| {
        let env = CrashEnv::new().await;
        let (_api, _, _) = env.accept().await;
        env.crash_worker("worker.settled").await;
        env.crash_worker(at).await;
        let worker = env.worker();
        env.shows_the_avatar(1).await;
        env.finish(worker).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_while_it_retries_a_job_has_it_tried_again() {
    let arrange = async || {
        let env = CrashEnv::new().await;
        env.media().install_fault(uploads_answer(503).times(1));
        accepted(env).await
    };
    at_each_a_worker(RETRY, arrange, async |env, _| env.shows_the_avatar(1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_while_it_discards_a_job_has_it_discarded_once() {
    let arrange = async || {
        let env = CrashEnv::new().await;
        env.media().install_fault(uploads_answer(400));
        accepted(env).await
    };
    at_each_a_worker(DISCARD, arrange, async |env, (_api, user, job)| {
        let job = user.wait_for_job(&job, &["discarded"]).await;
        assert!(job["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{job}");
        env.settled(1).await;
        assert_eq!(user.current_user().await["avatar"], "", "it falls back to what it was");
        assert_eq!(env.media().assets().len(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_around_a_deletion_leaves_the_newer_asset_alone_and_no_other() {
    let arrange = async || {
        let (mut env, (api, user, job)) = accepted(CrashEnv::new().await).await;
        let first = env.env.worker().await;
        user.wait_for_job(&job, &["completed"]).await;
        first.shutdown(std::future::ready(())).await;
        env.picture = jpeg(5_000);
        user.replace_avatar(env.picture.clone()).await.expect(202);
        (env, api)
    };
    at_each_a_worker(DELETE, arrange, async |env, _api| {
        env.shows_the_avatar(2).await;
        assert_eq!(env.count("assets", doc! { "state": "deleted" }).await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_while_it_counts_a_channel_has_it_counted() {
    let arrange = async || {
        let env = CrashEnv::with_users(2).await;
        let users = env.users().await;
        let subscribed = env.store().channels().subscribe(users[0], users[1], Wish::Subscribed).await;
        subscribed.expect("subscribed");
        (env, ())
    };
    at_each_a_worker(RECOMPUTE, arrange, async |env, ()| {
        TestEnv::until("the channel is counted", async || {
            let counted = env.count("users", doc! { "steep.aggregates.subscribersCount": 1 }).await;
            counted == 1 && env.count("subscription_intents", doc! {}).await == 0
        })
        .await;
        env.settled(0).await;
        let unfinished = doc! { "state": { "$ne": JobState::Completed.as_str() } };
        assert_eq!(env.count("jobs", unfinished).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_gives_back_what_it_has_no_time_for_even_if_it_crashes() {
    at_each(&[SHUTDOWN, &[""]].concat(), async |at| {
        let env = CrashEnv::new().await;
        let host = env.media();
        host.install_fault(Fault::new(Effect::Hang { at: Moment::BeforeStoring }).on("upload").times(1));
        let (_api, _, _) = env.accept().await;
        let hurry = [("WORKER_SHUTDOWN_LIMIT", "0s".to_owned())];
        let mut doomed = env.doomed_worker(if at.is_empty() { "worker.recorded" } else { at }, &hurry);
        TestEnv::until("the upload hangs", async || host.faults().iter().any(|fault| fault.struck > 0)).await;
        if at.is_empty() {
            process::end(doomed).await.expect("it ends in good order");
        } else {
            doomed.terminate();
            env.crashed(doomed, at).await;
        }
        let worker = env.worker();
        env.shows_the_avatar(1).await;
        env.finish(worker).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_that_crashes_leaves_the_rest_to_the_next() {
    let arrange = async || {
        let env = CrashEnv::new().await;
        // What an api leaves that dies between the rename and the transaction.
        for _ in 0..2 {
            let mut writer = env.spool().create();
            writer.write(env.picture.clone()).await.expect("written");
            writer.commit().await.expect("committed").keep();
        }
        // And one that dies before it.
        let abandoned = env.folder().join("spool/incoming").join(uuid::Uuid::new_v4().to_string());
        std::fs::write(abandoned, &env.picture).expect("written");
        support::let_files_grow_old(&env);
        (env, ())
    };
    at_each_a_worker(SWEEP, arrange, async |env, ()| env.is_untouched().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweeper_that_crashes_over_a_discarded_upload_leaves_no_file() {
    at_each(EXPIRE, async |at| {
        let env = CrashEnv::new().await;
        let (_api, user, job) = env.accept_in_silence().await;
        let (id, store) = (job.parse().expect("an id"), env.store());
        let claim = store
            .jobs()
            .claim(
                id,
                &ClaimRequest {
                    worker: "test",
                    lease: Duration::from_secs(60),
                    rescue: &Rescue::LeaseExpired,
                    max_crashes: 3,
                    exclusive: true,
                },
            )
            .await
            .expect("an answer");
        let Claim::Claimed(claimed) = claim else { panic!("{claim:?}") };
        testkit::ends::discard_upload(store, id, claimed.attempt, "a reason").await.expect("discarded");
        let long_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 40 * 24 * 60 * 60 * 1000);
        let assets = env.database().collection::<Document>("assets");
        assets.update_many(doc! {}, doc! { "$set": { "updatedAt": long_ago } }).await.expect("aged");
        assert_eq!(env.spooled_files(), 1);

        env.crash_worker(at).await;
        assert_eq!(env.spooled_files(), 1, "the database has let go of it first");
        let worker = env.worker();
        env.settled(0).await;
        user.wait_for_job(&job, &["discarded"]).await;
        env.finish(worker).await;
    })
    .await;
}
