use std::time::Duration;

use messages::UserId;
use store::{Counts, Pace, Wish};

use crate::support::Fixture;

mod intents;
mod reconcile;
mod recount;

const AT_ONCE: Pace = Pace { pause: Duration::ZERO, times_cost: 0 };

fn counts(subscribers_count: i64, channels_subscribed_to_count: i64) -> Counts {
    Counts { subscribers_count, channels_subscribed_to_count }
}

async fn subscribe(fixture: &Fixture, subscriber: UserId, channel: UserId) {
    fixture.store.channels().subscribe(subscriber, channel, Wish::Toggle).await.expect("changed");
}
