//! Comparing what is stored with a recount.

use bson::doc;
use bson::oid::ObjectId;
use messages::UserId;
use store::{Checked, CounterKey, Numbers, Wish, subscribers};

use super::{AT_ONCE, counts, subscribe};
use crate::support::Fixture;

fn numbers(number: i64, exact: i64) -> Numbers {
    Numbers { number, exact: Some(exact) }
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
    // Another counter may be of users too.
    let is_of_subscribers = |key: &CounterKey| key.to_string().starts_with("subscribers:");
    let rest = fixture.store.counters().after(Some(keys[4]), 3).await.expect("an answer");
    assert!(!rest.iter().any(is_of_subscribers), "{rest:?}");
    let mut sample = fixture.store.counters().sample(100).await.expect("an answer");
    sample.retain(is_of_subscribers);
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
    let read = async {
        fixture.store.counters().count(&subscribers(channel)).await.expect("counted");
        fixture.store.counters().reconcile(&subscribers(channel), &AT_ONCE).await.expect("compared");
        fixture.seen(channel, ada).await;
    };
    fixture.profiling(read).await;

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
