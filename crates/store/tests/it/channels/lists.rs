//! The order of lists of subscriptions, and where a part of one goes on.

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use messages::UserId;
use store::{Listed, Position, Subscription};

use super::toggle;
use crate::support::Fixture;

/// Ids as they come of clocks that are right, hours fast, years slow, and far beyond.
const IDS: [u8; 5] = [0x66, 0x67, 0x10, 0xff, 0x00];

fn odd_id(first: u8) -> ObjectId {
    ObjectId::from_bytes([first; 12])
}

/// Gives the subscription that was made last another id.
async fn identify(fixture: &Fixture, subscriber: UserId, id: ObjectId) {
    let subscriptions = fixture.collection("subscriptions");
    let made = doc! { "subscriber": ObjectId::from_bytes(subscriber.bytes()) };
    let mut document = subscriptions.find_one_and_delete(made).await.expect("an answer").expect("a subscription");
    document.insert("_id", id);
    subscriptions.insert_one(document).await.expect("inserted");
}

/// A channel and who subscribed to it at apis of different clocks, the latest first.
async fn channel_of_many_clocks(fixture: &Fixture) -> (UserId, Vec<UserId>) {
    let (channel, mut subscribers) = (fixture.user().await, Vec::new());
    for first in IDS {
        let subscriber = fixture.user().await;
        toggle(fixture, subscriber, channel).await;
        identify(fixture, subscriber, odd_id(first)).await;
        subscribers.insert(0, subscriber);
    }
    (channel, subscribers)
}

/// A list, read in parts of one entry.
async fn one_by_one(fixture: &Fixture, of: Listed) -> Vec<Subscription> {
    let (mut seen, mut next) = (Vec::new(), None);
    for _ in 0..20 {
        let page = fixture.store.channels().subscriptions(of, next, 1).await.expect("a part");
        seen.extend(page.items);
        let Some(position) = page.next else { return seen };
        next = Position::read(&position.to_string());
        assert_eq!(next, Some(position));
    }
    panic!("no end: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_apis_of_different_clocks_made_is_listed_in_the_order_in_which_it_was_made() {
    let fixture = Fixture::new().await;
    let (channel, subscribers) = channel_of_many_clocks(&fixture).await;
    let of = Listed::SubscribersOf(channel);
    let whole = fixture.store.channels().subscriptions(of, None, 100).await.expect("a list");
    for seen in [whole.items, one_by_one(&fixture, of).await] {
        assert_eq!(seen.iter().map(|item| item.subscriber).collect::<Vec<_>>(), subscribers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_an_earlier_release_told_is_gone_on_from() {
    let fixture = Fixture::new().await;
    let (channel, subscribers) = channel_of_many_clocks(&fixture).await;
    for (index, first) in IDS.into_iter().rev().enumerate() {
        let told = Position::read(&odd_id(first).to_hex()).expect("a position");
        let page = fixture.store.channels().subscriptions(Listed::SubscribersOf(channel), Some(told), 100).await;
        let rest: Vec<_> = page.expect("a part").items.iter().map(|item| item.subscriber).collect();
        assert_eq!(rest, subscribers[index + 1..]);
    }
    // Of a subscription that has ended only the id tells when it was made.
    for (second, count) in [(1_000_000_000_u32, 0), (4_000_000_000, subscribers.len())] {
        let ended = Position::read(&format!("{second:08x}{}", "7".repeat(16)));
        let page = fixture.store.channels().subscriptions(Listed::SubscribersOf(channel), ended, 100).await;
        assert_eq!(page.expect("a part").items.len(), count, "after {second}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn adopted_entries_with_any_time_or_none_are_listed_once_or_left_out() {
    let fixture = Fixture::new().await;
    let channel = fixture.user().await;
    let at = |second: i64| Bson::from(DateTime::from_millis(1_600_000_000_000 + second * 1_000));
    let times = [Some(at(1)), Some(at(2)), Some(at(2)), None, Some(Bson::Null), None, Some("long ago".into())];
    for (number, time) in (1..).zip(times) {
        let mut document = doc! {
            "_id": odd_id(number),
            "subscriber": ObjectId::new(),
            "channel": ObjectId::from_bytes(channel.bytes()),
        };
        if let Some(time) = time {
            document.insert("createdAt", time);
        }
        fixture.collection("subscriptions").insert_one(document).await.expect("inserted");
    }
    let seen = one_by_one(&fixture, Listed::SubscribersOf(channel)).await;
    let seen: Vec<_> = seen.into_iter().map(|item| item.id).collect();
    assert_eq!(seen, [3, 2, 1, 6, 5, 4].map(|number| odd_id(number).to_hex()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_far_into_a_list_looks_at_no_more_than_it_shows() {
    let fixture = Fixture::new().await;
    let (user, now) = (fixture.user().await, DateTime::now().timestamp_millis());
    for (field, of) in [("channel", Listed::SubscribersOf(user)), ("subscriber", Listed::ChannelsOf(user))] {
        let other = if field == "channel" { "subscriber" } else { "channel" };
        let entry = |number: i64| {
            let time = (number < 200).then(|| DateTime::from_millis(now - number));
            let mut entry: Document = doc! { field: ObjectId::from_bytes(user.bytes()), other: ObjectId::new() };
            entry.extend(time.map(|time| ("createdAt".to_owned(), Bson::from(time))));
            entry
        };
        fixture.collection("subscriptions").insert_many((0..300).map(entry)).await.expect("inserted");
        let mut next = None;
        for _ in 0..29 {
            let listing = fixture.store.channels().subscriptions(of, next, 10);
            next = fixture.profiling(listing).await.expect("a part").next;
            for command in fixture.profiled().await {
                let explained = fixture.explain(&command).await;
                assert!(explained.keys_examined <= 15 && explained.docs_examined <= 12, "{explained:?} of {command}");
            }
        }
    }
}
