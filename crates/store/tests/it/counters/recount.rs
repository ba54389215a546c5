//! Counting channels, and comparing what is stored with a recount.

use std::time::Duration;

use bson::doc;
use bson::oid::ObjectId;
use messages::{Job, RecomputeChannel, UserId};
use store::{Checked, CounterKey, Counts, Error, JobState, Numbers, Pace, Wish, subscribers};

use crate::ends::Ends;
use crate::support::{Fixture, assert_state};

const AT_ONCE: Pace = Pace { pause: Duration::ZERO, times_cost: 0 };

fn counts(subscribers_count: i64, channels_subscribed_to_count: i64) -> Counts {
    Counts { subscribers_count, channels_subscribed_to_count }
}

fn numbers(number: i64, exact: i64) -> Numbers {
    Numbers { number, exact: Some(exact) }
}

async fn subscribe(fixture: &Fixture, subscriber: UserId, channel: UserId) {
    fixture.store.channels().subscribe(subscriber, channel, Wish::Toggle).await.expect("changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recompute_stores_both_numbers_and_forgets_what_is_in_them() {
    let fixture = Fixture::new().await;
    let (ada, bob, channel) = (fixture.user().await, fixture.user().await, fixture.user().await);
    for (subscriber, to) in [(ada, channel), (bob, channel), (channel, ada), (ada, bob)] {
        subscribe(&fixture, subscriber, to).await;
    }
    assert_eq!(fixture.counts(channel).await, counts(0, 1), "a subscriber's own number is exact at once");
    let job = fixture.recompute(channel, &Pace::default()).await;
    assert_eq!(fixture.counts(channel).await, counts(2, 1));
    assert_eq!(fixture.count("subscription_intents").await, 2, "those of others stay");
    let job = fixture.job(job).await;
    assert_state(&job, JobState::Completed);
    assert_eq!(job.job(), Ok(Job::RecomputeChannel(RecomputeChannel { channel })));

    let recount = fixture.store.counters().count(&subscribers(channel)).await.expect("counted");
    let again = fixture.store.complete_recompute(job.id, job.attempt, &recount, &Pace::default()).await;
    assert!(matches!(again, Err(Error::Fenced)), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_between_the_count_and_its_storing_is_in_no_number_and_keeps_its_intent() {
    let fixture = Fixture::new().await;
    let (ada, bob, channel) = (fixture.user().await, fixture.user().await, fixture.user().await);
    subscribe(&fixture, ada, channel).await;
    let job = fixture.store.counters().request(&subscribers(channel)).await.expect("an answer").expect("a job");
    let claimed = fixture.claim(job.id).await;
    let recount = fixture.store.counters().count(&subscribers(channel)).await.expect("counted");
    subscribe(&fixture, bob, channel).await;
    subscribe(&fixture, channel, ada).await;
    subscribe(&fixture, channel, bob).await;
    fixture.store.complete_recompute(job.id, claimed.attempt, &recount, &AT_ONCE).await.expect("stored");

    assert_eq!(fixture.counts(channel).await, counts(1, 2), "the channel's own subscriptions are exact at once");
    assert_eq!(fixture.count("subscription_intents").await, 3, "bob's, and the channel's own two");
    assert_eq!(fixture.seen(channel, bob).await.counts, counts(2, 2), "bob sees the own change");
    assert_eq!(fixture.seen(channel, ada).await.counts, counts(1, 2));
    assert_eq!(
        fixture.store.counters().reconcile(&subscribers(channel), &AT_ONCE).await.expect("an answer"),
        Checked::Right
    );
    assert!(fixture.store.counters().due().await.expect("an answer").contains(&subscribers(channel)));
    fixture.recompute(channel, &AT_ONCE).await;
    assert_eq!(fixture.counts(channel).await, counts(2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_count_never_replaces_a_newer_one() {
    let fixture = Fixture::new().await;
    let (ada, bob, channel) = (fixture.user().await, fixture.user().await, fixture.user().await);
    for subscriber in [ada, bob] {
        let job = fixture.store.counters().request(&subscribers(channel)).await.expect("an answer").expect("a job");
        let claimed = fixture.claim(job.id).await;
        let older = fixture.store.counters().count(&subscribers(channel)).await.expect("counted");
        subscribe(&fixture, subscriber, channel).await;
        // Somebody else counts meanwhile: numbers that drifted are mended, and the newest change is in them.
        let planted = doc! { "$set": { "steep.aggregates.subscribersCount": 7_i64 } };
        let id = doc! { "_id": ObjectId::from_bytes(channel.bytes()) };
        fixture.collection("users").update_one(id, planted).await.expect("planted");
        let mended = fixture.store.counters().reconcile(&subscribers(channel), &AT_ONCE).await.expect("an answer");
        assert!(matches!(mended, Checked::Mended(_)), "{mended:?}");
        let newer = fixture.counts(channel).await;

        fixture.store.complete_recompute(job.id, claimed.attempt, &older, &AT_ONCE).await.expect("ended");
        assert_state(&fixture.job(job.id).await, JobState::Completed);
        assert_eq!(fixture.counts(channel).await, newer);
        assert_eq!(fixture.count("subscription_intents").await, 0);
    }
    assert_eq!(fixture.counts(channel).await, counts(2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_user_who_subscribes_while_being_counted_for_the_first_time_is_counted_again() {
    let fixture = Fixture::new().await;
    let (ada, old) = (fixture.user().await, ObjectId::new());
    fixture.collection("users").insert_one(doc! { "_id": old, "username": "old" }).await.expect("inserted");
    let old = UserId::from_bytes(old.bytes());
    subscribe(&fixture, ada, old).await;
    let job = fixture.store.counters().request(&subscribers(old)).await.expect("an answer").expect("a job");
    let claimed = fixture.claim(job.id).await;
    let recount = fixture.store.counters().count(&subscribers(old)).await.expect("counted");
    subscribe(&fixture, old, ada).await;
    fixture.store.complete_recompute(job.id, claimed.attempt, &recount, &AT_ONCE).await.expect("ended");
    assert!(
        fixture.store.counters().due().await.expect("an answer").contains(&subscribers(old)),
        "its numbers were not stored"
    );
    fixture.recompute(old, &AT_ONCE).await;
    assert_eq!(fixture.counts(old).await, counts(1, 1));
}

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
    fixture.raw.run_command(doc! { "profile": 2 }).await.expect("profiling");
    let mut due = fixture.store.counters().due().await.expect("an answer");
    fixture.raw.run_command(doc! { "profile": 0 }).await.expect("no more");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_was_deleted_is_counted_as_nothing() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    subscribe(&fixture, ada, channel).await;
    fixture.collection("users").delete_one(doc! { "_id": ObjectId::from_bytes(channel.bytes()) }).await.expect("gone");
    let job = fixture.recompute(channel, &AT_ONCE).await;
    assert_state(&fixture.job(job).await, JobState::Completed);
    assert_eq!(fixture.count("subscription_intents").await, 0);
    assert_eq!(
        fixture.store.counters().reconcile(&subscribers(channel), &AT_ONCE).await.expect("an answer"),
        Checked::Gone
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_count_reads_keys_of_an_index_and_no_documents() {
    let fixture = Fixture::new().await;
    let channel = fixture.user().await;
    let pairs: Vec<_> = (0..500)
        .map(|_| doc! { "subscriber": ObjectId::new(), "channel": ObjectId::from_bytes(channel.bytes()) })
        .collect();
    fixture.collection("subscriptions").insert_many(pairs).await.expect("inserted");
    let job = fixture.store.counters().request(&subscribers(channel)).await.expect("an answer").expect("a job");
    let claimed = fixture.claim(job.id).await;
    fixture.raw.run_command(doc! { "profile": 2 }).await.expect("profiling");
    let recount = fixture.store.counters().count(&subscribers(channel)).await.expect("counted");
    fixture.store.complete_recompute(job.id, claimed.attempt, &recount, &AT_ONCE).await.expect("stored");
    fixture.raw.run_command(doc! { "profile": 0 }).await.expect("no more");
    assert_eq!(fixture.counts(channel).await, counts(500, 0));
    let profiled = fixture.collection("system.profile").find_one(doc! { "command.aggregate": "users" }).await;
    let profiled = profiled.expect("an answer").expect("the count");
    let number = |field| profiled.get_i32(field).unwrap_or(-1);
    assert!(number("docsExamined") <= 1 && (500..510).contains(&number("keysExamined")), "{profiled}");
    // Or how long a transaction may last would bound how large a channel may be.
    let command = profiled.get_document("command").expect("a command");
    assert!(!command.contains_key("autocommit"), "counted in a transaction: {command}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_user_is_found_so_whatever_waits_to_be_counted() {
    let fixture = Fixture::new().await;
    let (ada, bob, channel) = (fixture.user().await, fixture.user().await, fixture.user().await);
    let check = async |user| fixture.store.counters().reconcile(&subscribers(user), &AT_ONCE).await.expect("an answer");
    assert_eq!(check(channel).await, Checked::Right);
    for _ in 0..2 {
        subscribe(&fixture, ada, channel).await;
        subscribe(&fixture, bob, channel).await;
        subscribe(&fixture, channel, bob).await;
        for user in [ada, bob, channel] {
            assert_eq!(check(user).await, Checked::Right);
        }
        fixture.recompute(channel, &AT_ONCE).await;
        subscribe(&fixture, bob, channel).await;
        assert_eq!(check(channel).await, Checked::Right);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_drifted_are_found_and_mended() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    subscribe(&fixture, ada, channel).await;
    fixture.recompute(channel, &AT_ONCE).await;
    let name = fixture.read_user(channel).await.username;
    for (field, stored) in [("subscribersCount", numbers(7, 0)), ("channelsSubscribedToCount", numbers(1, 7))] {
        let planted = doc! { "$set": { format!("steep.aggregates.{field}"): 7_i64 } };
        let id = doc! { "_id": ObjectId::from_bytes(channel.bytes()) };
        fixture.collection("users").update_one(id, planted).await.expect("planted");
        match fixture.store.counters().reconcile(&subscribers(channel), &AT_ONCE).await.expect("an answer") {
            Checked::Mended(drift) => {
                assert_eq!((drift.key, &drift.title), (subscribers(channel), &name));
                assert_eq!((drift.stored, drift.counted), (stored, numbers(1, 0)));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(fixture.counts(channel).await, counts(1, 0));
        assert_eq!(
            fixture.store.counters().reconcile(&subscribers(channel), &AT_ONCE).await.expect("an answer"),
            Checked::Right
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_user_whom_nobody_has_counted_is_no_drift() {
    let fixture = Fixture::new().await;
    let (ada, old) = (fixture.user().await, ObjectId::new());
    fixture.collection("users").insert_one(doc! { "_id": old, "username": "old" }).await.expect("inserted");
    let old = UserId::from_bytes(old.bytes());
    fixture.adopt_subscription(ada, old).await;
    subscribe(&fixture, old, ada).await;
    assert_eq!(
        fixture.store.counters().reconcile(&subscribers(old), &AT_ONCE).await.expect("an answer"),
        Checked::First
    );
    assert_eq!(fixture.counts(old).await, counts(1, 1));
    assert_eq!(
        fixture.store.counters().reconcile(&subscribers(old), &AT_ONCE).await.expect("an answer"),
        Checked::Right
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_drawn_at_random_and_walked_in_order() {
    let fixture = Fixture::new().await;
    let mut users = Vec::new();
    for _ in 0..5 {
        users.push(fixture.user().await);
    }
    users.sort();
    let keys: Vec<CounterKey> = users.iter().copied().map(subscribers).collect();
    assert_eq!(fixture.store.counters().after(None, 3).await.expect("an answer"), keys[..3]);
    assert_eq!(fixture.store.counters().after(Some(keys[2]), 3).await.expect("an answer"), keys[3..]);
    assert_eq!(fixture.store.counters().after(Some(keys[4]), 3).await.expect("an answer"), []);
    let mut sample = fixture.store.counters().sample(100).await.expect("an answer");
    sample.sort_by_key(CounterKey::subject);
    assert_eq!(sample, keys);
    let name = fixture.read_user(users[1]).await.username.to_uppercase();
    assert_eq!(fixture.store.users().by_name(&name).await.expect("an answer"), Some(users[1]));
}

/// A change that came between two of them would be known to be counted, and not be in the count.
#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_count_reads_is_of_one_moment() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    fixture.store.channels().subscribe(ada, channel, Wish::Subscribed).await.expect("subscribed");
    fixture.raw.run_command(doc! { "profile": 2 }).await.expect("profiling");
    fixture.store.counters().count(&subscribers(channel)).await.expect("counted");
    fixture.store.counters().reconcile(&subscribers(channel), &AT_ONCE).await.expect("compared");
    fixture.seen(channel, ada).await;
    fixture.raw.run_command(doc! { "profile": 0 }).await.expect("no more");

    let mut moments = Vec::new();
    for look_up in fixture.profiled().await {
        let command = look_up.get_document("command").expect("a command");
        let Ok(concern) = command.get_document("readConcern") else { continue };
        if concern.get_str("level").is_ok_and(|level| level == "snapshot") {
            moments.push((
                command.get_document("lsid").expect("a session").clone(),
                concern.get_timestamp("atClusterTime").ok(),
            ));
        }
    }
    // The user, the count and the intents; the user, the count and what waits; of a profile the channel and the own change, for
    // each of three readings.
    assert!(moments.len() >= 6 + 3 * 2, "{moments:?}");
    for (session, _) in &moments {
        let of_session: Vec<_> = moments.iter().filter(|(other, _)| other == session).map(|(_, at)| *at).collect();
        let bound = of_session.iter().flatten().count();
        assert!(
            bound > 0 && bound < of_session.len(),
            "the first read chooses the moment and the rest keep it: {moments:?}"
        );
    }
}
