//! What a reader sees of a channel.

use bson::doc;
use bson::oid::ObjectId;
use messages::UserId;
use store::{NewUser, Pace, Profile};

use super::{NOBODY, id, toggle};
use crate::support::{Fixture, new_user};

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
