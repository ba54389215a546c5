//! What taking over a filled database reports, also when it is broken off or done again.

use bson::doc;
use bson::oid::ObjectId;

use crate::support::Fixture;

/// A database without indexes, as chai-backend leaves it.
async fn filled() -> Fixture {
    Fixture::without_indexes(|_| {}).await
}

/// A new subscription of a pair.
async fn subscribe(fixture: &Fixture, subscriber: ObjectId, channel: ObjectId) -> ObjectId {
    let id = ObjectId::new();
    let document = doc! { "_id": id, "subscriber": subscriber, "channel": channel, "__v": 0 };
    fixture.collection("subscriptions").insert_one(document).await.expect("inserted");
    id
}

async fn lines(fixture: &Fixture) -> Vec<String> {
    let findings = fixture.store.adoption().findings(100).await.expect("findings");
    findings.iter().map(ToString::to_string).collect()
}

async fn report_what_stays(fixture: &Fixture) -> Vec<String> {
    fixture.store.adoption().report_what_stays().await.expect("reported");
    lines(fixture).await
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_reported_before_they_are_set_aside() {
    let fixture = filled().await;
    let (subscriber, channel) = (ObjectId::new(), ObjectId::new());
    let kept = subscribe(&fixture, subscriber, channel).await;
    let extra = subscribe(&fixture, subscriber, channel).await;
    // Moving it fails, as if it were broken off there.
    let aside = fixture.collection("subscriptions_set_aside");
    aside.insert_one(doc! { "_id": extra }).await.expect("in its way");
    fixture.store.adoption().set_duplicates_aside().await.expect_err("in the way");
    let reported =
        [format!("duplicate subscription: {subscriber} -> {channel}: kept the oldest, {kept}; set aside {extra}")];
    assert_eq!(lines(&fixture).await, reported);
    assert_eq!(fixture.count("subscriptions").await, 2);

    aside.delete_many(doc! {}).await.expect("out of its way");
    assert_eq!(fixture.store.adoption().set_duplicates_aside().await.expect("set aside"), 1);
    assert_eq!(lines(&fixture).await, reported, "told once");
    assert_eq!((fixture.count("subscriptions").await, fixture.count("subscriptions_set_aside").await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_that_turn_up_later_are_told_beside_those_before() {
    let fixture = filled().await;
    let (subscriber, channel) = (ObjectId::new(), ObjectId::new());
    let kept = subscribe(&fixture, subscriber, channel).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let extra = subscribe(&fixture, subscriber, channel).await;
        assert_eq!(fixture.store.adoption().set_duplicates_aside().await.expect("set aside"), 1);
        let pair = format!("{subscriber} -> {channel}");
        told.push(format!("duplicate subscription: {pair}: kept the oldest, {kept}; set aside {extra}"));
        assert_eq!(lines(&fixture).await, told);
        // chai-backend is used once more.
        fixture.collection("subscriptions").drop_indexes().await.expect("dropped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_reported_again_replaces_its_line() {
    let fixture = filled().await;
    let (gone, subscriber) = (ObjectId::new(), ObjectId::new());
    let user = |id: ObjectId, email: &str| doc! { "_id": id, "username": id.to_hex(), "email": email };
    let twin = || user(ObjectId::new(), "twin@example.com");
    let users = fixture.collection("users");
    users.insert_many([twin(), twin(), user(subscriber, "ada@example.com")]).await.expect("users");
    subscribe(&fixture, subscriber, gone).await;
    let first = report_what_stays(&fixture).await;
    let counted = |lines: &[String], what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!(counted(&first, &format!("1 with the channel {gone}")), 1, "{first:?}");
    assert_eq!(counted(&first, "2 users have the email \"twin@example.com\""), 1, "{first:?}");

    users.insert_one(twin()).await.expect("one more");
    subscribe(&fixture, subscriber, gone).await;
    let second = report_what_stays(&fixture).await;
    assert_eq!(second.len(), first.len(), "{second:?}");
    assert_eq!(counted(&second, &format!("2 with the channel {gone}")), 1, "{second:?}");
    assert_eq!(counted(&second, "3 users have the email \"twin@example.com\""), 1, "{second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_whose_password_costs_too_much_to_check_are_named() {
    let fixture = filled().await;
    let rest = "abcdefghijklmnopqrstuv1234567890abcdefghijklmnopqrstuv";
    let mut costly = Vec::new();
    let hashes = ["$2b$04$", "$2b$10$", "$2b$13$", "$2b$14$", "$2a$19$", "$2y$20$", "$2b$31$", "$2x$14$", "14$", ""];
    for (number, begin) in hashes.into_iter().enumerate() {
        let (id, name) = (ObjectId::new(), format!("user{number}"));
        let user = doc! { "_id": id, "username": &name, "email": &name, "password": format!("{begin}{rest}") };
        fixture.collection("users").insert_one(user).await.expect("a user");
        if (3..7).contains(&number) {
            costly.push(format!("costly password: user {id}, \"{name}\", cannot sign in: bcrypt costs more than 13"));
        }
    }
    costly.sort_unstable();
    for _ in 0..2 {
        let mut reported = report_what_stays(&fixture).await;
        reported.sort_unstable();
        assert_eq!(reported, costly);
    }
}
