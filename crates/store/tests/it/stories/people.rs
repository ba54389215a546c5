//! Who signs in, who subscribes to whom and what is counted of them, and what an adoption keeps.

use std::time::Duration;

use bson::doc;
use bson::oid::ObjectId;
use messages::UserId;
use store::{Adopting, NewSession, Pace, PasswordHash, Renewal, Rotation, TokenHash, Wish, subscribers};

use super::Told;
use crate::ends::Ends;

/// How long what is written is valid: longer than anybody will read it.
pub const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// A window of time whose first one lasts as long.
pub const WINDOW: Duration = Duration::from_secs(4_000_000_000);

pub const FIRST: TokenHash = TokenHash::from_bytes([1; 32]);
pub const SECOND: TokenHash = TokenHash::from_bytes([2; 32]);

pub fn renewal(token: TokenHash) -> Renewal {
    let (user_agent, address) = ("a browser".to_owned(), "192.0.2.1".to_owned());
    Renewal { token, lifetime: CENTURY, max_age: CENTURY, user_agent, address }
}

fn id(user: UserId) -> ObjectId {
    ObjectId::from_bytes(user.bytes())
}

impl Told {
    pub(super) async fn somebody_who_signs_in(&mut self) {
        let user = self.fixture.user().await;
        let credentials = self.fixture.store.users().find_credentials(user).await.expect("an answer").expect("a user");
        let [kept, other] = [(); 2].map(|()| store::new_session_id());
        for id in [kept, other] {
            let new = NewSession { id, user, renewal: renewal(FIRST) };
            let begun = self.fixture.store.sessions().begin(new, credentials.version).await.expect("an answer");
            assert!(begun.is_some());
        }
        let session = ObjectId::from_bytes(kept.bytes());
        self.note("sessions/new", session).await;
        self.note_user("signed-in", user).await;
        let rotation = self.fixture.store.sessions().rotate(kept, FIRST, renewal(SECOND), Duration::ZERO).await;
        assert!(matches!(rotation, Ok(Rotation::Rotated(_))), "{rotation:?}");
        self.note("sessions/rotated", session).await;
        let new = PasswordHash::from("another hash".to_owned());
        let changed = self.fixture.store.users().change_password(user, kept, credentials.version, &new).await;
        assert!(changed.expect("an answer"));
        self.note_user("password-changed", user).await;
    }

    pub(super) async fn attempts(&mut self) {
        for _ in 0..2 {
            self.fixture.store.rate_limits().hit("sign-in:ada", WINDOW).await.expect("counted");
        }
        self.note("attempts/counted", "sign-in:ada:4000000000:0").await;
        self.fixture.store.rate_limits().note("known:ada", CENTURY).await.expect("noted");
        self.note("attempts/noted", "known:ada").await;
    }

    pub(super) async fn a_subscription(&mut self) {
        let (subscriber, channel) = (self.fixture.user().await, self.fixture.user().await);
        self.note_user("channel", channel).await;
        self.fixture.store.channels().subscribe(subscriber, channel, Wish::Subscribed).await.expect("subscribed");
        self.note_user("subscriber", subscriber).await;
        self.note_the("subscriptions/ours", doc! { "channel": id(channel) }).await;
        self.note_the("subscription_intents/subscribed", doc! { "channel": id(channel) }).await;

        let job =
            self.fixture.store.counters().request(&subscribers(channel)).await.expect("an answer").expect("a job").id;
        self.note_job("recompute-pending", job).await;
        let attempt = self.fixture.claim(job).await.attempt;
        self.note_job("recompute-running", job).await;
        let recount = self.fixture.store.counters().count(&subscribers(channel)).await.expect("counted");
        let stored = self.fixture.store.complete_recompute(job, attempt, &recount, &Pace::default()).await;
        stored.expect("stored");
        self.note_job("recompute-completed", job).await;
        self.note_user("channel-counted", channel).await;

        self.fixture.store.channels().subscribe(subscriber, channel, Wish::Unsubscribed).await.expect("unsubscribed");
        self.note_the("subscription_intents/unsubscribed", doc! { "channel": id(channel) }).await;
        self.note_user("subscriber-no-more", subscriber).await;
        // As chai-backend writes one.
        self.fixture.adopt_subscription(channel, subscriber).await;
        self.note_the("subscriptions/adopted", doc! { "channel": id(subscriber) }).await;
    }

    pub(super) async fn an_adoption(&mut self) {
        let begun = self.fixture.store.adoption().begin("a-worker").await.expect("an answer");
        assert_eq!(begun, Adopting::Yours);
        self.note("adoption/begun", "state").await;
        let (subscriber, channel) = (self.fixture.user().await, self.fixture.user().await);
        self.fixture.collection("subscriptions").drop_index("subscriber_1_channel_1").await.expect("dropped");
        for channel in [channel, channel, UserId::from_bytes([9; 12])] {
            self.fixture.adopt_subscription(subscriber, channel).await;
        }
        for (username, email) in [("twin", "twin@example.com"), ("other", "Twin@Example.com")] {
            let user = doc! { "_id": ObjectId::new(), "username": username, "email": email };
            self.fixture.collection("users").insert_one(user).await.expect("inserted");
        }
        assert_eq!(self.fixture.store.adoption().set_duplicates_aside().await.expect("set aside"), 1);
        self.fixture.store.adoption().lower_case_names().await.expect("written");
        self.fixture.store.adoption().report_what_stays().await.expect("reported");
        for (name, kind) in [
            ("adoption/duplicate", "duplicate subscription"),
            ("adoption/dangling", "dangling subscriptions"),
            ("adoption/taken", "name taken"),
        ] {
            self.note_the(name, doc! { "kind": kind }).await;
        }
        self.fixture.store.adoption().finish().await.expect("noted");
        self.note("adoption/finished", "state").await;
    }
}
