//! Subscribing, unsubscribing, and the lists of who subscribes to whom.

use bson::oid::ObjectId;
use bson::{DateTime, doc};
use store::{Error, Listed, Standing, Wish};

use super::{NOBODY, toggle};
use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_toggle_subscribes_and_the_next_one_unsubscribes() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    assert_eq!(toggle(&fixture, ada, channel).await, Standing { subscribed: true, changed: true });
    assert_eq!((fixture.count("subscriptions").await, fixture.count("subscription_intents").await), (1, 1));
    assert_eq!(toggle(&fixture, ada, channel).await, Standing { subscribed: false, changed: true });
    assert_eq!((fixture.count("subscriptions").await, fixture.count("subscription_intents").await), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_what_is_so_already_changes_nothing() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    for (wish, subscribed) in [(Wish::Subscribed, true), (Wish::Unsubscribed, false)] {
        for changed in [true, false, false] {
            let standing = fixture.store.channels().subscribe(ada, channel, wish).await.expect("an answer");
            assert_eq!(standing, Standing { subscribed, changed });
        }
    }
    assert_eq!((fixture.count("subscriptions").await, fixture.count("subscription_intents").await), (0, 2));
}

/// With the unique index, and without it, as it is until adopted duplicates are set aside.
#[tokio::test(flavor = "multi_thread")]
async fn toggles_of_one_pair_at_once_take_turns() {
    for indexed in [true, false] {
        let fixture = if indexed { Fixture::new().await } else { Fixture::without_indexes(|_| {}).await };
        let (ada, channel) = (fixture.user().await, fixture.user().await);
        let racers: Vec<_> = (0..15)
            .map(|_| {
                let store = fixture.store.clone();
                tokio::spawn(async move { store.channels().subscribe(ada, channel, Wish::Toggle).await })
            })
            .collect();
        let mut subscribed = 0;
        for racer in racers {
            let standing = racer.await.expect("no panic").expect("changed");
            subscribed += i32::from(standing.subscribed);
        }
        assert_eq!(subscribed, 8, "of fifteen in turn eight subscribe");
        assert_eq!((fixture.count("subscriptions").await, fixture.count("subscription_intents").await), (1, 15));
        assert_eq!(fixture.counts(ada).await.channels_subscribed_to_count, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_or_subscriber_that_does_not_exist_is_named_and_nothing_is_written() {
    let fixture = Fixture::new().await;
    let ada = fixture.user().await;
    for (subscriber, channel, missing) in [(ada, NOBODY, "channel"), (NOBODY, ada, "user")] {
        match fixture.store.channels().subscribe(subscriber, channel, Wish::Toggle).await {
            Err(Error::NotFound { what }) => assert_eq!(what, missing),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((fixture.count("subscriptions").await, fixture.count("subscription_intents").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_pair_that_stands_there_twice_is_unsubscribed_as_one() {
    let fixture = Fixture::without_indexes(|_| {}).await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    for _ in 0..2 {
        fixture.adopt_subscription(ada, channel).await;
    }
    assert_eq!(toggle(&fixture, ada, channel).await, Standing { subscribed: false, changed: true });
    assert_eq!(fixture.count("subscriptions").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_on_where_the_part_before_ended_whatever_is_added_meanwhile() {
    let fixture = Fixture::new().await;
    let channel = fixture.user().await;
    let mut subscribers = Vec::new();
    for _ in 0..5 {
        subscribers.push(fixture.user().await);
        toggle(&fixture, subscribers[subscribers.len() - 1], channel).await;
    }
    subscribers.reverse();
    let of = Listed::SubscribersOf(channel);
    let (mut seen, mut next) = (Vec::new(), None);
    loop {
        let page = fixture.store.channels().subscriptions(of, next, 2).await.expect("a page");
        assert!(page.items.iter().all(|item| item.channel == channel));
        seen.extend(page.items.iter().map(|item| item.subscriber));
        let newcomer = fixture.user().await;
        toggle(&fixture, newcomer, channel).await;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen, subscribers);
    let page =
        fixture.store.channels().subscriptions(Listed::ChannelsOf(subscribers[0]), None, 2).await.expect("a page");
    assert_eq!((page.items.len(), page.items[0].channel, page.next), (1, channel, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn adopted_subscriptions_of_any_form_are_listed_or_left_out() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    let pair =
        |subscriber: bson::Bson| doc! { "subscriber": subscriber, "channel": ObjectId::from_bytes(channel.bytes()) };
    let bare = pair(ObjectId::from_bytes(ada.bytes()).into());
    let mut with_times = pair(ObjectId::new().into());
    with_times.extend(
        doc! { "createdAt": DateTime::from_millis(1_600_000_000_000), "updatedAt": bson::Bson::Null, "__v": 0 },
    );
    for document in [bare, with_times, pair("not an id".into()), pair(bson::Bson::Null)] {
        fixture.collection("subscriptions").insert_one(document).await.expect("inserted");
    }
    let page = fixture.store.channels().subscriptions(Listed::SubscribersOf(channel), None, 10).await.expect("a page");
    assert_eq!(page.items.len(), 2);
    assert_eq!(page.items[0].created_at.unix_timestamp(), 1_600_000_000);
    assert_eq!(page.items[0].updated_at, page.items[0].created_at);
    assert!(page.items[1].created_at.unix_timestamp() > 1_700_000_000, "told by its id");
}
