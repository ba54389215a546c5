//! The programs crash at every named point of the path, are started again, and all ends as if nothing had been.
//!
//! A crash is an abort: no destructor runs and nothing is flushed. Each line of the tables is one crash in an environment of
//! its own.

mod api;
mod delivery;
mod env;
mod maintenance;
mod shared;

use std::panic::AssertUnwindSafe;

use crash_points::Point;
use futures_util::{FutureExt, StreamExt};
use mongodb::bson::doc;
use store::JobState;
use testkit::Leftovers;

use env::CrashEnv;

/// Crashes at once. Most of the time they wait: for a lease, a connection, a relay's turn.
const AT_ONCE: usize = 8;

/// The api, while it accepts an avatar: before the change is durable, and after.
const ACCEPT_BEFORE: &[&str] = &["spool.written", "spool.renamed", "spool.synced", "store.transaction.open"];

const ACCEPT_AFTER: &[&str] = &[
    "store.transaction.committed",
    "broker.publish.begun",
    "broker.publish.sent",
    "broker.publish.confirmed",
    "store.job.marked",
];

/// The api, while several uploads are accepted by one commit.
const ACCEPT_SHARED: &[&str] = &["store.transaction.open=shared", "store.transaction.committed=shared"];

/// The worker, while several jobs are claimed by one command or end in one commit.
const SHARED: &[&str] = &["store.claims.made", "store.transaction.open=shared", "store.transaction.committed=shared"];

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
const EVENT: &[&str] = &["relay.events.taken", "worker.event.published", "worker.event.marked"];

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
    let tables = [
        ACCEPT_BEFORE,
        ACCEPT_AFTER,
        ACCEPT_SHARED,
        SHARED,
        UPLOAD,
        EVENT,
        RELAY,
        RETRY,
        DISCARD,
        DELETE,
        RECOMPUTE,
        SHUTDOWN,
        SWEEP,
        EXPIRE,
    ];
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

/// Arranges work for a worker, which crashes at a point of it; another one finishes it, and `expect` looks at the outcome. What
/// is left then is what the jobs that were discarded need.
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
