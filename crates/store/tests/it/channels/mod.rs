use bson::oid::ObjectId;
use bson::{Document, doc};
use messages::UserId;
use store::{Standing, Wish};

use crate::support::Fixture;

mod costs;
mod lists;
mod look_ups;
mod profiles;
mod subscriptions;

const NOBODY: UserId = UserId::from_bytes([9; 12]);

fn id(user: UserId) -> Document {
    doc! { "_id": ObjectId::from_bytes(user.bytes()) }
}

async fn toggle(fixture: &Fixture, subscriber: UserId, channel: UserId) -> Standing {
    fixture.store.channels().subscribe(subscriber, channel, Wish::Toggle).await.expect("changed")
}
