//! What waits to be counted: when it is, by how many, and what becomes of too much of it.

use std::time::Duration;

use bson::doc;
use bson::oid::ObjectId;
use messages::UserId;
use store::{Checked, CounterKey, Pace, subscribers};

use super::{AT_ONCE, counts, subscribe};
use crate::ends::Ends;
use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn of_any_number_of_requests_one_recompute_of_a_channel_waits_or_runs() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    subscribe(&fixture, ada, channel).await;
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let store = fixture.store.clone();
            tokio::spawn(async move { store.counters().request(&subscribers(channel)).await })
        })
        .collect();
    let mut submitted = Vec::new();
    for racer in racers {
        submitted.extend(racer.await.expect("no panic").expect("an answer"));
    }
    assert_eq!(submitted.len(), 1);
    assert_eq!(fixture.store.counters().due().await.expect("an answer"), []);
    let claimed = fixture.claim(submitted[0].id).await;
    assert_eq!(
        fixture.store.counters().request(&subscribers(channel)).await.expect("an answer"),
        None,
        "while it runs, too"
    );
    let recount = fixture.store.counters().count(&subscribers(channel)).await.expect("counted");
    fixture.store.complete_recompute(claimed.job.id, claimed.attempt, &recount, &AT_ONCE).await.expect("stored");
    assert!(fixture.store.counters().request(&subscribers(channel)).await.expect("an answer").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_due_when_something_has_changed_and_its_pause_is_over() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    let due = async || fixture.store.counters().due().await.expect("an answer");
    assert_eq!(due().await, []);
    subscribe(&fixture, ada, channel).await;
    assert_eq!(due().await, [subscribers(channel)], "the first change is counted at once");
    fixture.recompute(channel, &AT_ONCE).await;
    assert_eq!(due().await, [], "nothing has changed");
    subscribe(&fixture, ada, channel).await;
    assert_eq!(due().await, [subscribers(channel)]);
    fixture.recompute(channel, &Pace { pause: Duration::from_secs(600), times_cost: 0 }).await;
    subscribe(&fixture, ada, channel).await;
    assert_eq!(due().await, [], "it was counted a moment ago");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_found_without_a_look_at_jobs_that_have_ended() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    for _ in 0..20 {
        subscribe(&fixture, ada, channel).await;
        fixture.recompute(channel, &AT_ONCE).await;
    }
    subscribe(&fixture, ada, channel).await;
    let due = fixture.profiling(fixture.store.counters().due()).await;
    assert_eq!(due.expect("an answer"), [subscribers(channel)]);
    let mut looks = 0;
    for command in fixture.profiled().await {
        if command.get_str("ns").is_ok_and(|ns| ns.ends_with(".jobs")) {
            let explained = fixture.explain(&command).await;
            assert!(explained.stages.iter().all(|stage| stage != "COLLSCAN"), "{explained:?} of {command}");
            assert!(explained.docs_examined <= 1, "{explained:?} of {command}");
            looks += 1;
        }
    }
    assert_eq!(looks, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pause_grows_with_what_the_last_count_cost() {
    let fixture = Fixture::new().await;
    let channel = fixture.user().await;
    fixture.recompute(channel, &Pace { pause: Duration::from_millis(1), times_cost: 100_000 }).await;
    let user = fixture.collection("users").find_one(doc! { "_id": ObjectId::from_bytes(channel.bytes()) }).await;
    let user = user.expect("an answer").expect("a user");
    let stored = user.get_document("steep").and_then(|steep| steep.get_document("aggregates")).expect("aggregates");
    let next = stored.get_datetime("nextAt").expect("a time").timestamp_millis();
    let counted = stored.get_datetime("computedAt").expect("a time").timestamp_millis();
    let cost = stored.get_i64("costMs").expect("a number");
    assert!(cost >= 1 && next - counted >= cost * 100_000, "{stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_piled_up_without_a_worker_are_forgotten_in_parts() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    subscribe(&fixture, ada, channel).await;
    let [channel_id, ada_id] = [channel, ada].map(|id| ObjectId::from_bytes(id.bytes()));
    let intents: Vec<_> = (0..45_000).map(|_| doc! { "channel": channel_id, "subscriber": ada_id, "by": 1 }).collect();
    fixture.collection("subscription_intents").insert_many(intents).await.expect("inserted");
    fixture.recompute(channel, &AT_ONCE).await;
    assert_eq!(fixture.counts(channel).await, counts(1, 0));
    assert_eq!(fixture.count("subscription_intents").await, 0);
}

/// What waits is joined into the stored number part by part: at no moment does a change count twice, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_whose_many_changes_are_being_thinned_out_is_found_healthy() {
    let fixture = Fixture::new().await;
    let channel = fixture.user().await;
    let channel_id = ObjectId::from_bytes(channel.bytes());
    let fans: Vec<ObjectId> = (0..45_000).map(|_| ObjectId::new()).collect();
    let pairs = fans.iter().map(|fan| doc! { "subscriber": fan, "channel": channel_id });
    fixture.collection("subscriptions").insert_many(pairs).await.expect("inserted");
    let intents = fans.iter().map(|fan| doc! { "channel": channel_id, "subscriber": fan, "by": 1 });
    fixture.collection("subscription_intents").insert_many(intents).await.expect("inserted");
    let stale = fixture.store.counters().count(&subscribers(channel)).await.expect("counted");

    let left = fixture.count("subscription_intents").await;
    assert!((1..45_000).contains(&left), "{left}");
    let stored = fixture.counts(channel).await.subscribers_count;
    assert_eq!(stored + i64::try_from(left).expect("few"), 45_000);
    let checked = fixture.store.counters().reconcile(&subscribers(channel), &AT_ONCE).await.expect("an answer");
    assert_eq!(checked, Checked::Right);

    let job = fixture.store.counters().request(&subscribers(channel)).await.expect("an answer").expect("a job");
    let attempt = fixture.claim(job.id).await.attempt;
    fixture.store.complete_recompute(job.id, attempt, &stale, &AT_ONCE).await.expect("stored");
    assert_eq!(fixture.counts(channel).await, counts(45_000, 0));
    assert_eq!(fixture.count("subscription_intents").await, 0);
}

/// A count that began before the changes were thinned out does not have all of them in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_count_from_before_a_thinning_is_not_stored() {
    let fixture = Fixture::new().await;
    let channel = fixture.user().await;
    let key = subscribers(channel);
    let channel_id = ObjectId::from_bytes(channel.bytes());
    let job = fixture.store.counters().request(&key).await.expect("an answer").expect("a job");
    let attempt = fixture.claim(job.id).await.attempt;
    let older = fixture.store.counters().count(&key).await.expect("counted");
    let fans: Vec<ObjectId> = (0..41_000).map(|_| ObjectId::new()).collect();
    let pairs = fans.iter().map(|fan| doc! { "subscriber": fan, "channel": channel_id });
    fixture.collection("subscriptions").insert_many(pairs).await.expect("inserted");
    let intents = fans.iter().map(|fan| doc! { "channel": channel_id, "subscriber": fan, "by": 1 });
    fixture.collection("subscription_intents").insert_many(intents).await.expect("inserted");
    fixture.store.counters().count(&key).await.expect("thinned out and counted");
    fixture.store.complete_recompute(job.id, attempt, &older, &AT_ONCE).await.expect("ended");
    let checked = fixture.store.counters().reconcile(&key, &AT_ONCE).await.expect("an answer");
    assert_eq!(checked, Checked::Right);
}

/// One answer holds 16 MB, and the channels of a large site need not fit into it.
#[tokio::test(flavor = "multi_thread")]
async fn changed_channels_are_read_in_parts_from_keys_of_an_index() {
    let fixture = Fixture::new().await;
    let channels: Vec<ObjectId> = (0..2_500).map(|_| ObjectId::new()).collect();
    let intents = channels.iter().flat_map(|channel| [1, -1, 1].map(|by| doc! { "channel": channel, "by": by }));
    fixture.collection("subscription_intents").insert_many(intents).await.expect("inserted");
    let mut due = fixture.profiling(fixture.store.counters().due()).await.expect("an answer");
    due.sort_by_key(CounterKey::subject);
    let expected: Vec<CounterKey> = channels.iter().map(|id| subscribers(UserId::from_bytes(id.bytes()))).collect();
    assert!(due == expected, "{} of {}", due.len(), expected.len());
    let profile = fixture.collection("system.profile");
    let read = profile.find_one(doc! { "command.aggregate": "subscription_intents" }).await.expect("an answer");
    let read = read.expect("the look for changes");
    assert_eq!(read.get_i32("docsExamined").unwrap_or(-1), 0, "{read}");
    assert!(read.get_i32("keysExamined").unwrap_or(i32::MAX) < 3_000, "a key a channel: {read}");
    assert!(read.get_i32("nreturned").unwrap_or(i32::MAX) < 2_500, "in parts: {read}");
}
