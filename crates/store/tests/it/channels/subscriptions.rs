//! Subscribing, and what leaves a trace of it.

use bson::oid::ObjectId;
use bson::{DateTime, Document, doc};
use messages::UserId;
use store::{Error, Listed, NewUser, Pace, Profile, Standing, Wish};

use crate::support::{Explained, Fixture, new_user};

const NOBODY: UserId = UserId::from_bytes([9; 12]);

fn id(user: UserId) -> Document {
    doc! { "_id": ObjectId::from_bytes(user.bytes()) }
}

fn assert_by_index(explained: &Explained) {
    let by_index = ["IDHACK", "IXSCAN", "COUNT_SCAN"];
    assert!(explained.stages.iter().any(|stage| by_index.contains(&stage.as_str())), "{explained:?}");
    assert!(explained.stages.iter().all(|stage| stage != "COLLSCAN" && stage != "SORT"), "{explained:?}");
}

async fn toggle(fixture: &Fixture, subscriber: UserId, channel: UserId) -> Standing {
    fixture.store.channels().subscribe(subscriber, channel, Wish::Toggle).await.expect("changed")
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_the_own_change_at_once_and_others_see_it_when_it_is_counted() {
    let fixture = Fixture::new().await;
    let (ada, bob, channel) = (fixture.user().await, fixture.user().await, fixture.user().await);
    toggle(&fixture, bob, channel).await;
    fixture.recompute(channel, &Pace::default()).await;
    let seen = async |reader| {
        let seen = fixture.seen(channel, reader).await;
        (seen.counts.subscribers_count, seen.is_subscribed)
    };
    assert_eq!((seen(ada).await, seen(bob).await), ((1, false), (1, true)));
    // Subscribed since then, unsubscribed again, and once more.
    for (count, subscribed) in [(2, true), (1, false), (2, true)] {
        toggle(&fixture, ada, channel).await;
        assert_eq!((seen(ada).await, seen(bob).await), ((count, subscribed), (1, true)));
    }
    fixture.recompute(channel, &Pace::default()).await;
    assert_eq!((seen(ada).await, seen(bob).await), ((2, true), (2, true)));
    // Unsubscribed since then, by one who is in the number.
    toggle(&fixture, bob, channel).await;
    assert_eq!((seen(ada).await, seen(bob).await), ((2, true), (1, false)));
    toggle(&fixture, bob, channel).await;
    assert_eq!((seen(ada).await, seen(bob).await), ((2, true), (2, true)));
    toggle(&fixture, bob, channel).await;
    fixture.recompute(channel, &Pace::default()).await;
    assert_eq!((seen(ada).await, seen(bob).await), ((1, true), (1, false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_has_changed_many_channels_is_told_right_about_each_latest_one() {
    let fixture = Fixture::new().await;
    let ada = fixture.user().await;
    let mut channels = Vec::new();
    for _ in 0..25 {
        channels.push(fixture.user().await);
    }
    for channel in &channels {
        toggle(&fixture, ada, *channel).await;
    }
    for (number, channel) in channels.iter().enumerate() {
        let seen = fixture.seen(*channel, ada).await;
        assert!(seen.is_subscribed, "{number}");
        // Twenty are remembered; of those before, the count catches up as it does for others.
        let expected = i64::from(number >= 5);
        assert_eq!(seen.counts.subscribers_count, expected, "{number}");
    }
    let seen = fixture.seen(channels[0], ada).await;
    assert_eq!(seen.user.username, fixture.read_user(channels[0]).await.username);
    assert_eq!(fixture.counts(ada).await.channels_subscribed_to_count, 25);
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
    let name = fixture.read_user(channel).await.username;
    for (what, reader, is_subscribed) in [("a subscriber", ada, true), ("somebody else", stranger, false)] {
        let session = fixture.sign_in(reader).await;
        let look = async || match fixture.store.channels().profile(reader, session, &name).await.expect("an answer") {
            Profile::Shown(seen) => assert_eq!((seen.counts.subscribers_count, seen.is_subscribed), (2, is_subscribed)),
            other => panic!("{other:?}"),
        };
        look().await;
        fixture.raw.run_command(doc! { "profile": 2 }).await.expect("profiling");
        look().await;
        fixture.raw.run_command(doc! { "profile": 0 }).await.expect("no more");

        // Who asks and the channel are one of them.
        let look_ups = fixture.profiled().await;
        assert_eq!(look_ups.len(), 2, "{what}: {look_ups:?}");
        let (mut keys, mut docs) = (0, 0);
        for look_up in &look_ups {
            let explained = fixture.explain(look_up).await;
            println!("{what}: {explained:?}");
            assert_by_index(&explained);
            keys += explained.keys_examined;
            docs += explained.docs_examined;
        }
        // Both users; the pair is told by the index alone. One key more ends a scan of several.
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
        fixture.raw.run_command(doc! { "profile": 2 }).await.expect("profiling");
        let signed_in = fixture.store.users().signed_in(user, session).await.expect("an answer");
        fixture.raw.run_command(doc! { "profile": 0 }).await.expect("no more");
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
    let session = fixture.sign_in(ada).await;
    let name = fixture.read_user(channel).await.username;
    fixture.raw.run_command(doc! { "profile": 2 }).await.expect("profiling");
    let seen = fixture.store.channels().profile(ada, session, &name).await.expect("an answer");
    fixture.raw.run_command(doc! { "profile": 0 }).await.expect("no more");
    let Profile::Shown(seen) = seen else { panic!("{seen:?}") };
    assert_eq!((seen.counts.subscribers_count, seen.is_subscribed), (1, true));
    let look_ups = fixture.profiled().await;
    assert_eq!(look_ups.len(), 3, "{look_ups:?}");
    for look_up in &look_ups {
        let explained = fixture.explain(look_up).await;
        assert_by_index(&explained);
        assert!(explained.keys_examined <= 2 && explained.docs_examined <= 1, "{explained:?}");
    }
}

/// The two that come at once and tell everybody else everything, and the two of one moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_a_known_name_with_an_own_change_in_it_takes_four_look_ups_by_indexes() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    let session = fixture.sign_in(ada).await;
    let name = fixture.read_user(channel).await.username;
    fixture.store.channels().profile(ada, session, &name).await.expect("an answer");
    toggle(&fixture, ada, channel).await;
    fixture.raw.run_command(doc! { "profile": 2 }).await.expect("profiling");
    let seen = fixture.store.channels().profile(ada, session, &name).await.expect("an answer");
    fixture.raw.run_command(doc! { "profile": 0 }).await.expect("no more");
    let Profile::Shown(seen) = seen else { panic!("{seen:?}") };
    assert_eq!((seen.counts.subscribers_count, seen.is_subscribed), (1, true));
    let look_ups = fixture.profiled().await;
    assert_eq!(look_ups.len(), 4, "{look_ups:?}");
    let (mut keys, mut docs) = (0, 0);
    for look_up in &look_ups {
        let explained = fixture.explain(look_up).await;
        assert_by_index(&explained);
        keys += explained.keys_examined;
        docs += explained.docs_examined;
    }
    // Both users, and the channel once more; pair and intents are told by their indexes alone.
    assert!(keys <= 8 && docs <= 3, "{keys} keys, {docs} documents");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_leads_to_whoever_has_it_now() {
    let fixture = Fixture::new().await;
    let (ada, first, second) = (fixture.user().await, fixture.user().await, fixture.user().await);
    let session = fixture.sign_in(ada).await;
    let name = fixture.read_user(first).await.username;
    let users = fixture.collection("users");
    let found = async || match fixture.store.channels().profile(ada, session, &name).await.expect("an answer") {
        Profile::Shown(seen) => Some(seen.user.id),
        other => {
            assert_eq!(other, Profile::Unknown);
            None
        }
    };
    assert_eq!((found().await, found().await), (Some(first), Some(first)));
    let rename = async |user, name: &str| {
        users.update_one(id(user), doc! { "$set": { "username": name } }).await.expect("renamed");
    };
    rename(first, "somebody-else").await;
    assert_eq!((found().await, found().await), (None, None));
    rename(second, name.as_str()).await;
    assert_eq!((found().await, found().await), (Some(second), Some(second)));
    users.delete_one(id(second)).await.expect("deleted");
    assert_eq!(found().await, None);
    rename(first, name.as_str()).await;
    assert_eq!((found().await, found().await), (Some(first), Some(first)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_found_in_every_spelling_that_looks_the_same() {
    let fixture = Fixture::new().await;
    let ada = fixture.user().await;
    let session = fixture.sign_in(ada).await;
    let register = async |username: &str| {
        let user = NewUser { username: username.to_owned(), ..new_user() };
        fixture.store.media().register(user, Vec::new(), None, None).await.expect("a user").user.id
    };
    let adopt = async |username: &str| {
        let id = ObjectId::new();
        let user = doc! { "_id": id, "username": username, "email": format!("{id}@example.com") };
        fixture.collection("users").insert_one(user).await.expect("inserted");
        UserId::from_bytes(id.bytes())
    };
    let (wide, accent) = (register("foo").await, register("caf\u{e9}").await);
    // Written as chai-backend did, which only made it lower case.
    let old = adopt("\u{ff42}\u{ff41}\u{ff52}").await;
    let alike = (register("twin").await, adopt("t\u{ff57}in").await);
    for (typed, channel) in [
        ("\u{ff46}\u{ff4f}\u{ff4f}", wide),
        (" \u{ff26}OO ", wide),
        ("cafe\u{301}", accent),
        ("CAFE\u{301}", accent),
        ("Caf\u{c9}", accent),
        ("\u{ff42}\u{ff41}\u{ff52}", old),
        ("\u{ff22}\u{ff41}\u{ff52}", old),
        ("twin", alike.0),
        ("T\u{ff37}in", alike.1),
    ] {
        // The second time the name is remembered; and one's own change is looked up in another way.
        for changed in [false, false, true, true] {
            if changed {
                toggle(&fixture, ada, channel).await;
            }
            let seen = fixture.store.channels().profile(ada, session, typed).await.expect("an answer");
            assert!(matches!(&seen, Profile::Shown(seen) if seen.user.id == channel), "{typed:?}: {seen:?}");
        }
        let found = fixture.store.users().by_name(typed.trim()).await.expect("an answer");
        assert!(found == Some(channel) || typed.starts_with('T'), "{typed:?}: {found:?}");
    }
    for unknown in ["bar", "\u{ff54}\u{ff4f}", "cafe"] {
        let seen = fixture.store.channels().profile(ada, session, unknown).await.expect("an answer");
        assert_eq!(seen, Profile::Unknown, "{unknown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_signed_in_is_told_nothing_of_any_channel() {
    let fixture = Fixture::new().await;
    let (ada, channel) = (fixture.user().await, fixture.user().await);
    let session = fixture.sign_in(ada).await;
    let name = fixture.read_user(channel).await.username;
    for known in [false, true] {
        for (reader, session) in [(ada, store::new_session_id()), (channel, session), (NOBODY, session)] {
            for name in [name.as_str(), "nobody"] {
                let seen = fixture.store.channels().profile(reader, session, name).await.expect("an answer");
                assert_eq!(seen, Profile::NotSignedIn, "known: {known}, {name}");
            }
        }
        let seen = fixture.store.channels().profile(ada, session, &name).await.expect("an answer");
        assert!(matches!(seen, Profile::Shown(_)), "{seen:?}");
    }
    let ended = doc! { "$set": { "steep.sessions": [] } };
    fixture.collection("users").update_one(id(ada), ended).await.expect("ended");
    let seen = fixture.store.channels().profile(ada, session, &name).await.expect("an answer");
    assert_eq!(seen, Profile::NotSignedIn);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_channel_is_none_and_one_that_nobody_has_counted_is_counted_now() {
    let fixture = Fixture::new().await;
    let ada = fixture.user().await;
    let session = fixture.sign_in(ada).await;
    assert_eq!(fixture.store.channels().profile(ada, session, "nobody").await.expect("an answer"), Profile::Unknown);
    let old = ObjectId::new();
    let adopted = doc! { "_id": old, "username": "old", "email": "old@example.com" };
    fixture.collection("users").insert_one(adopted).await.expect("inserted");
    let old = UserId::from_bytes(old.bytes());
    fixture.adopt_subscription(ada, old).await;
    fixture.adopt_subscription(NOBODY, old).await;
    let seen = fixture.store.channels().profile(ada, session, " Old ").await.expect("an answer");
    let Profile::Shown(seen) = seen else { panic!("{seen:?}") };
    assert_eq!((seen.counts.subscribers_count, seen.is_subscribed), (2, true));
    toggle(&fixture, ada, old).await;
    let seen = fixture.seen(old, ada).await;
    assert_eq!((seen.counts.subscribers_count, seen.is_subscribed), (1, false));
}
