//! Counting channels.

use bson::doc;
use bson::oid::ObjectId;
use messages::{Job, RecomputeChannel, UserId};
use store::{Checked, Error, JobState, Pace, subscribers};

use super::{AT_ONCE, counts, subscribe};
use crate::ends::Ends;
use crate::support::{Fixture, assert_state};

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
    let recounted = async {
        let recount = fixture.store.counters().count(&subscribers(channel)).await.expect("counted");
        fixture.store.complete_recompute(job.id, claimed.attempt, &recount, &AT_ONCE).await.expect("stored");
    };
    fixture.profiling(recounted).await;
    assert_eq!(fixture.counts(channel).await, counts(500, 0));
    let profiled = fixture.collection("system.profile").find_one(doc! { "command.aggregate": "users" }).await;
    let profiled = profiled.expect("an answer").expect("the count");
    let number = |field| profiled.get_i32(field).unwrap_or(-1);
    assert!(number("docsExamined") <= 1 && (500..510).contains(&number("keysExamined")), "{profiled}");
    // Or how long a transaction may last would bound how large a channel may be.
    let command = profiled.get_document("command").expect("a command");
    assert!(!command.contains_key("autocommit"), "counted in a transaction: {command}");
}
