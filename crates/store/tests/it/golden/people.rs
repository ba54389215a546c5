//! Those of who signs in, who subscribes to whom and what is counted of them, and of an adoption.

use std::time::Duration;

use bson::oid::ObjectId;
use messages::{Job, RecomputeChannel, SessionId};
use store::{Adopting, Checked, JobState, Listed, NewSession, Pace, PasswordHash, Profile, Rotation, subscribers};

use super::{golden, job_id, user_id, world};
use crate::ends::Ends;
use crate::stories::people::{CENTURY, FIRST, SECOND, WINDOW, renewal};
use crate::support::{Fixture, LEASE, claimed};

fn object_id(name: &str) -> ObjectId {
    golden(name).get_object_id("_id").expect("an id")
}

fn session_id(name: &str) -> SessionId {
    SessionId::from_bytes(object_id(name).bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_the_first_release_are_live() {
    let (user, session) = (user_id("users/signed-in"), session_id("sessions/new"));
    let signed_in = async |fixture: &Fixture| {
        let found = fixture.store.users().signed_in(user, session).await.expect("an answer");
        found.map(|user| user.id)
    };
    let fixture = world(&["users/signed-in", "sessions/new"]).await;
    assert_eq!(signed_in(&fixture).await, Some(user));
    let live = fixture.store.sessions().live(user).await.expect("sessions");
    assert_eq!(live.iter().map(|live| (live.id, live.user)).collect::<Vec<_>>(), [(session, user)]);
    assert_eq!((live[0].user_agent.as_str(), live[0].address.as_str()), ("a browser", "192.0.2.1"));
    assert_eq!((live[0].issued_at, live[0].expires_at), (live[0].created_at, live[0].created_at + CENTURY));
    let next =
        fixture.store.sessions().rotate(session, FIRST, renewal(SECOND), Duration::ZERO).await.expect("an answer");
    assert!(matches!(&next, Rotation::Rotated(next) if next.id == session), "{next:?}");

    // One whose token had been replaced.
    let fixture = world(&["users/signed-in", "sessions/rotated"]).await;
    let again = fixture.store.sessions().rotate(session, FIRST, renewal(SECOND), CENTURY).await.expect("an answer");
    assert!(matches!(&again, Rotation::Repeated(again) if again.id == session), "{again:?}");
    assert_eq!(signed_in(&fixture).await, Some(user));
    let stolen =
        fixture.store.sessions().rotate(session, FIRST, renewal(SECOND), Duration::ZERO).await.expect("an answer");
    assert_eq!(stolen, Rotation::Reused);
    assert_eq!(signed_in(&fixture).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_changed_in_the_first_release_is_told_from_the_one_before() {
    let (user, session) = (user_id("users/password-changed"), session_id("sessions/rotated"));
    let credentials = async |fixture: &Fixture| {
        fixture.store.users().find_credentials(user).await.expect("an answer").expect("the user")
    };
    let before = credentials(&world(&["users/signed-in"]).await).await;
    let fixture = world(&["users/password-changed"]).await;
    let now = credentials(&fixture).await;
    assert_eq!((before.hash.expose(), now.hash.expose()), ("a hash", "another hash"));
    for (verified, begins) in [(before.version, false), (now.version, true)] {
        let new = NewSession { id: store::new_session_id(), user, renewal: renewal(FIRST) };
        let begun = fixture.store.sessions().begin(new, verified).await.expect("an answer");
        assert_eq!(begun.is_some(), begins);
    }
    let third = PasswordHash::from("a third hash".to_owned());
    for (verified, changes) in [(before.version, false), (now.version, true)] {
        let changed = fixture.store.users().change_password(user, session, verified, &third).await.expect("an answer");
        assert_eq!(changed, changes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_of_the_first_release_count() {
    let fixture = world(&["attempts/counted", "attempts/noted"]).await;
    assert_eq!(fixture.store.rate_limits().hit("sign-in:ada", WINDOW).await.expect("counted").count, 3);
    for (key, is_noted) in [("known:ada", true), ("known:bob", false)] {
        assert_eq!(fixture.store.rate_limits().is_noted(key).await.expect("an answer"), is_noted, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_of_the_first_release_and_before_it_are_listed() {
    let (subscriber, channel) = (user_id("users/subscriber"), user_id("users/channel"));
    let fixture = world(&["subscriptions/ours", "subscriptions/adopted"]).await;
    for (name, from, to, has_times) in
        [("subscriptions/ours", subscriber, channel, true), ("subscriptions/adopted", channel, subscriber, false)]
    {
        for of in [Listed::SubscribersOf(to), Listed::ChannelsOf(from)] {
            let page = fixture.store.channels().subscriptions(of, None, 10).await.expect("a page");
            assert_eq!(page.items.len(), 1, "{name}");
            let item = &page.items[0];
            assert_eq!((item.id.clone(), item.subscriber, item.channel), (object_id(name).to_hex(), from, to));
            let created = item.created_at.unix_timestamp();
            let of_its_id = object_id(name).timestamp().timestamp_millis() / 1000;
            assert_eq!(created == of_its_id, !has_times, "{name}");
            assert_eq!(item.updated_at, item.created_at, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_the_first_release_had_not_counted_are_seen_and_counted_today() {
    let (subscriber, channel) = (user_id("users/subscriber"), user_id("users/channel"));
    let seen = async |fixture: &Fixture, reader| {
        let session = fixture.sign_in(reader).await;
        let name = fixture.read_user(channel).await.username;
        match fixture.store.channels().profile(reader, session, &name).await.expect("an answer") {
            Profile::Shown(seen) => (seen.counts.subscribers_count, seen.is_subscribed),
            other => panic!("{other:?}"),
        }
    };
    // In each the stored number is the one of before the change.
    for (names, counted, own, subscribed_to) in [
        (&["users/channel", "users/subscriber", "subscriptions/ours", "subscription_intents/subscribed"][..], 0, 1, 1),
        (&["users/channel-counted", "users/subscriber-no-more", "subscription_intents/unsubscribed"], 1, 0, 0),
    ] {
        let fixture = world(names).await;
        assert_eq!(fixture.counts(channel).await.subscribers_count, counted, "{names:?}");
        assert_eq!(fixture.counts(subscriber).await.channels_subscribed_to_count, subscribed_to, "{names:?}");
        assert_eq!(seen(&fixture, subscriber).await, (own, own == 1), "{names:?}");
        assert_eq!(seen(&fixture, channel).await, (counted, false), "{names:?}");
        let checked =
            fixture.store.counters().reconcile(&subscribers(channel), &Pace::default()).await.expect("an answer");
        assert_eq!(checked, Checked::Right, "{names:?}");
        assert_eq!(fixture.store.counters().due().await.expect("an answer"), [subscribers(channel)], "{names:?}");
        fixture.recompute(channel, &Pace::default()).await;
        assert_eq!(fixture.counts(channel).await.subscribers_count, own, "{names:?}");
        assert_eq!(fixture.count("subscription_intents").await, 0, "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recomputes_of_the_first_release_are_read_and_done_today() {
    let channel = user_id("users/channel");
    for (name, state, attempts) in [
        ("jobs/recompute-pending", JobState::Pending, 0),
        ("jobs/recompute-running", JobState::Running, 1),
        ("jobs/recompute-completed", JobState::Completed, 1),
    ] {
        let fixture = world(&["users/channel", "subscriptions/ours", "subscription_intents/subscribed", name]).await;
        let job = fixture.job(job_id(name)).await;
        assert_eq!(job.job().expect("a known kind"), Job::RecomputeChannel(RecomputeChannel { channel }), "{name}");
        assert_eq!((job.state, job.attempts.len(), job.queue.as_str()), (state, attempts, "channel.recompute"));
        assert_eq!((job.asset, job.owner, job.finished_at.is_some()), (None, None, state.is_finished()), "{name}");
        // Whether somebody counts the channel already.
        let due = fixture.store.counters().due().await.expect("an answer");
        assert_eq!(due.is_empty(), !state.is_finished(), "{name}");
        if state.is_finished() {
            continue;
        }
        let claimed = claimed(fixture.try_claim(job.id, "today", LEASE).await);
        let recount = fixture.store.counters().count(&subscribers(channel)).await.expect("counted");
        let outcome = fixture.store.complete_recompute(job.id, claimed.attempt, &recount, &Pace::default()).await;
        assert_eq!(outcome.expect("stored").state, JobState::Completed, "{name}");
        assert_eq!(fixture.counts(channel).await.subscribers_count, 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_of_the_first_release_goes_on_or_is_done() {
    let fixture = world(&["adoption/begun"]).await;
    // Its time is over.
    assert_eq!(fixture.store.adoption().begin("today").await.expect("an answer"), Adopting::Yours);
    assert_eq!(fixture.store.adoption().begin("another").await.expect("an answer"), Adopting::Others);

    let findings = ["adoption/dangling", "adoption/duplicate", "adoption/taken"];
    let fixture = world(&["adoption/finished", findings[0], findings[1], findings[2]]).await;
    assert_eq!(fixture.store.adoption().begin("today").await.expect("an answer"), Adopting::Done);
    let found = fixture.store.adoption().findings(10).await.expect("findings");
    let written = findings.map(|name| {
        let finding = golden(name);
        (finding.get_str("kind").expect("a kind").to_owned(), finding.get_str("text").expect("a text").to_owned())
    });
    assert_eq!(found.into_iter().map(|found| (found.kind, found.text)).collect::<Vec<_>>(), written);
}
