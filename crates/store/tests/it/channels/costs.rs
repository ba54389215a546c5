//! What the server does for a reader, by its own record.

use bson::{DateTime, doc};
use messages::UserId;
use store::{Channel, Pace, Profile};

use super::{NOBODY, id, toggle};
use crate::support::{Explained, Fixture};

fn assert_by_index(explained: &Explained) {
    let by_index = ["IDHACK", "IXSCAN", "COUNT_SCAN"];
    assert!(explained.stages.iter().any(|stage| by_index.contains(&stage.as_str())), "{explained:?}");
    assert!(explained.stages.iter().all(|stage| stage != "COLLSCAN" && stage != "SORT"), "{explained:?}");
}

/// What a reader is shown of a channel, and the look-ups that it took, which all go by an index.
async fn look(fixture: &Fixture, reader: UserId, channel: UserId) -> (Channel, Vec<Explained>) {
    let session = fixture.sign_in(reader).await;
    let name = fixture.read_user(channel).await.username;
    let seen = fixture.profiling(fixture.store.channels().profile(reader, session, &name)).await;
    let Ok(Profile::Shown(seen)) = seen else { panic!("{seen:?}") };
    let mut look_ups = Vec::new();
    for look_up in fixture.profiled().await {
        let explained = fixture.explain(&look_up).await;
        assert_by_index(&explained);
        look_ups.push(explained);
    }
    (*seen, look_ups)
}

/// Keys and documents in all.
fn examined(look_ups: &[Explained]) -> (i64, i64) {
    let sum = |(keys, docs), look_up: &Explained| (keys + look_up.keys_examined, docs + look_up.docs_examined);
    look_ups.iter().fold((0, 0), sum)
}

/// What the server did, by its own record.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_costs_two_indexed_look_ups() {
    let fixture = Fixture::new().await;
    let (ada, channel, stranger) = (fixture.user().await, fixture.user().await, fixture.user().await);
    for subscriber in [ada, fixture.user().await] {
        toggle(&fixture, subscriber, channel).await;
    }
    fixture.recompute(channel, &Pace::default()).await;
    // A minute ago, so that it is counted for certain.
    let long_ago = doc! { "$set": { "steep.changes.0.at": DateTime::from_millis(1_600_000_000_000) } };
    fixture.collection("users").update_one(id(ada), long_ago).await.expect("aged");
    for (what, reader, is_subscribed) in [("a subscriber", ada, true), ("somebody else", stranger, false)] {
        look(&fixture, reader, channel).await;
        let (seen, look_ups) = look(&fixture, reader, channel).await;
        println!("{what}: {look_ups:?}");
        assert_eq!((seen.counts.subscribers_count, seen.is_subscribed), (2, is_subscribed));
        // Who asks and the channel are one of them.
        assert_eq!(look_ups.len(), 2, "{what}: {look_ups:?}");
        // Both users; the pair is told by the index alone. One key more ends a scan of several.
        let (keys, docs) = examined(&look_ups);
        assert!(keys <= 4 && docs <= 2, "{what}: {keys} keys, {docs} documents");
    }
}

/// What every request of somebody who is signed in begins with.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_signed_in_costs_one_look_up_by_id() {
    let fixture = Fixture::new().await;
    let (ada, bob) = (fixture.user().await, fixture.user().await);
    let session = fixture.sign_in(ada).await;
    fixture.sign_in(ada).await;
    for (user, found) in [(ada, Some(ada)), (bob, None), (NOBODY, None)] {
        let signed_in = fixture.profiling(fixture.store.users().signed_in(user, session)).await.expect("an answer");
        assert_eq!(signed_in.map(|user| user.id), found);
        let look_ups = fixture.profiled().await;
        assert_eq!(look_ups.len(), 1, "{look_ups:?}");
        let filter = look_ups[0].get_document("command").and_then(|command| command.get_document("filter"));
        assert_eq!(filter.expect("a filter"), &id(user), "by nothing but the id");
        let explained = fixture.explain(&look_ups[0]).await;
        assert_by_index(&explained);
        assert!(explained.keys_examined <= 1 && explained.docs_examined <= 1, "{explained:?}");
    }
}

/// Who reads is the first look-up; the number and what is not yet in it are two more, of one moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_with_an_own_change_in_it_is_told_by_indexes_too() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    toggle(&fixture, ada, channel).await;
    let (seen, look_ups) = look(&fixture, ada, channel).await;
    assert_eq!((seen.counts.subscribers_count, seen.is_subscribed), (1, true));
    assert_eq!(look_ups.len(), 3, "{look_ups:?}");
    for explained in &look_ups {
        assert!(explained.keys_examined <= 2 && explained.docs_examined <= 1, "{explained:?}");
    }
}

/// The two that come at once and tell everybody else everything, and the two of one moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_a_known_name_with_an_own_change_in_it_takes_four_look_ups_by_indexes() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    look(&fixture, ada, channel).await;
    toggle(&fixture, ada, channel).await;
    let (seen, look_ups) = look(&fixture, ada, channel).await;
    assert_eq!((seen.counts.subscribers_count, seen.is_subscribed), (1, true));
    assert_eq!(look_ups.len(), 4, "{look_ups:?}");
    let (keys, docs) = examined(&look_ups);
    // Both users, and the channel once more; pair and intents are told by their indexes alone.
    assert!(keys <= 8 && docs <= 3, "{keys} keys, {docs} documents");
}
