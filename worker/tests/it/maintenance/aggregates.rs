//! Counts of subscribers: they converge, whatever dies, and a burst of changes costs a handful of recomputes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{Document, doc};
use futures_util::StreamExt;
use messages::UserId;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config as Cases, TestRunner};
use store::{Pace, Rescue, Wish};
use worker::Config;

use crate::support::{Env, until};

const CASES: usize = 1_000;
/// Users of a case, who are its channels too.
const PEOPLE: usize = 3;

fn oid(id: UserId) -> ObjectId {
    ObjectId::from_bytes(id.bytes())
}

/// Users as the database holds them, without what registering costs.
async fn users(env: &Env, count: usize) -> Vec<UserId> {
    let ids: Vec<UserId> = (0..count).map(|_| store::new_user_id()).collect();
    let numbers =
        doc! { "subscribersCount": 0_i64, "channelsSubscribedToCount": 0_i64, "computedAt": bson::DateTime::now() };
    let documents = ids.iter().map(|id| {
        let name = format!("user-{id}");
        let email = format!("{name}@example.com");
        doc! { "_id": oid(*id), "username": name, "email": email, "steep": { "aggregates": numbers.clone() } }
    });
    env.database().collection::<Document>("users").insert_many(documents).await.expect("inserted");
    ids
}

async fn count(env: &Env, collection: &str, filter: Document) -> i64 {
    let documents = env.database().collection::<Document>(collection);
    i64::try_from(documents.count_documents(filter).await.expect("an answer")).expect("a number")
}

/// What is stored of a user, and a recount.
async fn stored_and_counted(env: &Env, user: UserId) -> ((i64, i64), (i64, i64)) {
    let id = oid(user);
    let found = env.database().collection::<Document>("users").find_one(doc! { "_id": id }).await;
    let found = found.expect("an answer").expect("the user");
    let stored = found.get_document("steep").and_then(|steep| steep.get_document("aggregates")).expect("aggregates");
    let number = |field| stored.get_i64(field).expect("a number");
    let counted = (
        count(env, "subscriptions", doc! { "channel": id }).await,
        count(env, "subscriptions", doc! { "subscriber": id }).await,
    );
    ((number("subscribersCount"), number("channelsSubscribedToCount")), counted)
}

fn quick(config: &mut Config) {
    (config.settings.recompute_pause, config.settings.recompute_times_cost) = (Duration::from_millis(1), 0);
    config.settings.look_for_changes_every = Duration::from_millis(10);
    config.settings.recomputes = 16.try_into().ok();
    // What a dead worker held comes back this soon.
    config.settings.lease = Duration::from_millis(500);
}

/// What happens in one case.
#[derive(Debug, Clone)]
struct Case {
    /// Clients that toggle at the same time, each one after the other: (subscriber, channel).
    clients: Vec<Vec<(usize, usize)>>,
    /// Recomputes that somebody claims and never finishes, and how long that lease holds.
    abandoned: Vec<(usize, u64)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let toggle = (0..PEOPLE, 1..PEOPLE).prop_map(|(subscriber, step)| (subscriber, (subscriber + step) % PEOPLE));
    let clients = prop::collection::vec(prop::collection::vec(toggle, 1..3), 1..4);
    let abandoned = prop::collection::vec((0..PEOPLE, 1..60_u64), 0..2);
    (clients, abandoned).prop_map(|(clients, abandoned)| Case { clients, abandoned })
}

async fn play(env: &Env, case: Case) -> (Case, Vec<UserId>) {
    let people = users(env, PEOPLE).await;
    let clients = case.clients.clone().into_iter().map(|toggles| {
        let (store, people) = (env.store().clone(), people.clone());
        tokio::spawn(async move {
            for (subscriber, channel) in toggles {
                store.channels().subscribe(people[subscriber], people[channel], Wish::Toggle).await.expect("toggled");
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    for (channel, lease) in &case.abandoned {
        if let Some(job) =
            env.store().counters().request(&store::subscribers(people[*channel])).await.expect("an answer")
        {
            let lease = Duration::from_millis(*lease);
            testkit::ends::claim(env.store(), job.id, "a worker that dies", lease, &Rescue::LeaseExpired).await;
        }
    }
    for client in clients {
        client.await.expect("no panic");
    }
    (case, people)
}

/// The promise: when changes stop, every stored number equals a recount. A thousand random cases of concurrent toggles,
/// abandoned recomputes, and workers that are dropped where they stand again and again.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_toggled_and_whoever_dies_every_count_ends_equal_to_a_recount() {
    let env = Arc::new(Env::start_with(|store| store.publish_grace = Duration::from_millis(200)).await);
    // Shorter than the server's own minute, and longer than any transaction of ours may last.
    let limit = doc! { "setParameter": 1, "transactionLifetimeLimitSeconds": 12 };
    env.database().client().database("admin").run_command(limit).await.expect("set");
    let done = Arc::new(AtomicBool::new(false));
    let dying = tokio::spawn({
        let (env, done) = (Arc::clone(&env), Arc::clone(&done));
        async move {
            let mut lives = 0_u64;
            while !done.load(Ordering::Relaxed) {
                let worker = env.worker_with(quick).await;
                // Long enough to connect and to be in the middle of something, a different something every time.
                tokio::time::sleep(Duration::from_millis(700 + lives * 137 % 600)).await;
                drop(worker);
                lives += 1;
            }
            lives
        }
    });
    let surviving = env.worker_with(quick).await;

    let mut runner = TestRunner::new_with_rng(
        Cases::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let cases: Vec<Case> = (0..CASES).map(|_| cases().new_tree(&mut runner).expect("a case").current()).collect();
    let played: Vec<(Case, Vec<UserId>)> =
        futures_util::stream::iter(cases).map(|case| play(&env, case)).buffer_unordered(24).collect().await;
    done.store(true, Ordering::Relaxed);
    let lives = dying.await.expect("no panic");

    let begun = Instant::now();
    // A backlog on a busy machine may take longer than any one thing does.
    while count(&env, "subscription_intents", doc! {}).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(180), "changes are left that nobody counts");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{lives} workers died; the last change was counted {:?} after the last case", begun.elapsed());
    let wrong: Vec<_> = futures_util::stream::iter(played)
        .map(|(case, people)| {
            let env = &env;
            async move {
                let mut wrong = Vec::new();
                for user in people {
                    let (stored, counted) = stored_and_counted(env, user).await;
                    if stored != counted {
                        wrong.push(format!("{user}: stored {stored:?}, counted {counted:?} after {case:?}"));
                    }
                }
                wrong
            }
        })
        .buffer_unordered(16)
        .concat()
        .await;
    assert_eq!(wrong, Vec::<String>::new());
    assert!(count(&env, "subscriptions", doc! {}).await > 0, "something was left to count");
    // Recomputes that were abandoned with nothing left to count.
    until("every job has ended", async || env.store().jobs().queue_ages().await.expect("an answer").is_empty()).await;
    surviving.shutdown(std::future::pending()).await;
    // What a dead worker has begun in the database stays open for a while, and a database is not dropped meanwhile.
    env.database().drop().await.expect("the database goes");
    Arc::into_inner(env).expect("nobody else has it").finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_ten_thousand_toggles_costs_a_handful_of_recomputes_and_ends_exact() {
    let env = Env::start().await;
    // With the pauses of production.
    let worker = env.worker().await;
    let channel = users(&env, 1).await[0];
    let subscribers = users(&env, 500).await;
    let begun = Instant::now();
    let tasks: Vec<_> = subscribers
        .into_iter()
        .enumerate()
        .map(|(number, subscriber)| {
            let store = env.store().clone();
            // All of them end up subscribed, after an odd number each.
            let toggles = if number % 2 == 0 { 21 } else { 19 };
            async move {
                for _ in 0..toggles {
                    store.channels().subscribe(subscriber, channel, Wish::Toggle).await.expect("toggled");
                }
            }
        })
        .collect();
    futures_util::stream::iter(tasks).buffer_unordered(64).for_each(|()| async {}).await;
    let (ended, burst) = (Instant::now(), begun.elapsed());
    until("the count is exact", async || {
        let (stored, counted) = stored_and_counted(&env, channel).await;
        stored == counted
    })
    .await;
    let exact = ended.elapsed();
    let recomputes = count(&env, "jobs", doc! { "kind": "channel.recompute.v1" }).await;
    println!("10,000 toggles in {burst:?}: {recomputes} recomputes, exact {exact:?} after the last");
    // Twenty, unless the machine is so slow that this is a minute of toggling and no burst.
    let paused = burst.as_millis() / Pace::default().pause.as_millis();
    assert!(recomputes <= 20.max(i64::try_from(paused).expect("a number") + 3), "{recomputes} recomputes in {burst:?}");
    until("nothing is left to count", async || count(&env, "subscription_intents", doc! {}).await == 0).await;
    worker.shutdown(std::future::pending()).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_compared_from_time_to_time_and_a_planted_drift_is_told_and_mended() {
    let env = Env::start().await;
    let people = users(&env, 3).await;
    env.store().channels().subscribe(people[0], people[1], Wish::Subscribed).await.expect("subscribed");
    let worker = env
        .worker_with(|config| {
            quick(config);
            config.settings.reconcile_every = Duration::from_millis(50);
        })
        .await;
    until("several samples were compared", async || worker.reconciled().checked > 20).await;
    assert_eq!(worker.reconciled().drifted, 0, "a healthy system has none");

    let planted = doc! { "$inc": { "steep.aggregates.subscribersCount": 5_i64 } };
    let documents = env.database().collection::<Document>("users");
    documents.update_one(doc! { "_id": oid(people[1]) }, planted).await.expect("planted");
    until("the drift is found", async || worker.reconciled().drifted > 0).await;
    let (stored, counted) = stored_and_counted(&env, people[1]).await;
    assert_eq!((stored, counted), ((1, 0), (1, 0)));
    assert_eq!(worker.readiness().reconciled.drifted, 1);
    worker.shutdown(std::future::pending()).await;
    env.finish().await;
}
