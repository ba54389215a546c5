//! Databases that chai-backend has written.

use std::collections::HashSet;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, doc};
use messages::UserId;
use store::{Error, JobState, Role};
use time::OffsetDateTime;

use crate::ends::Ends;
use crate::support::{Fixture, first, new_user, stored, upload, url};

const BCRYPT: &str = "$2b$10$abcdefghijklmnopqrstuv1234567890abcdefghijklmnopqrstuv";

async fn adopt(fixture: &Fixture, mut user: Document) -> UserId {
    let id = ObjectId::new();
    user.insert("_id", id);
    fixture.collection("users").insert_one(user).await.expect("inserted");
    UserId::from_bytes(id.bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_user_is_read_with_what_it_has() {
    let fixture = Fixture::new().await;
    let watched = ObjectId::new();
    let created = DateTime::from_millis(1_600_000_000_000);
    let id = adopt(
        &fixture,
        doc! {
            "username": "ada", "email": "ada@example.com", "fullName": "Ada", "avatar": "http://old.example.com/ada.png",
            "watchHistory": [watched], "password": BCRYPT, "refreshToken": "a token", "createdAt": created, "__v": 0,
        },
    )
    .await;
    let user = fixture.read_user(id).await;
    assert_eq!((user.avatar.url.as_str(), user.avatar.pending), ("http://old.example.com/ada.png", None));
    assert_eq!(user.cover_image.url, "");
    assert_eq!(user.watch_history, [watched.to_hex()]);
    assert_eq!(user.created_at, OffsetDateTime::from(created));
    assert!(!format!("{user:?}").contains(BCRYPT));
    let hash =
        fixture.store.users().find_for_sign_in(Some("ada"), None).await.expect("an answer").expect("a user").hash;
    assert_eq!(hash.expose(), BCRYPT);
    assert!(!format!("{hash:?}").contains(BCRYPT));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_null_and_odd_fields_of_adopted_users_are_no_errors() {
    let fixture = Fixture::new().await;
    let users = [
        doc! { "username": "a", "email": "a@example.com" },
        doc! { "username": "b", "email": "b@example.com", "fullName": Bson::Null, "avatar": Bson::Null, "coverImage": Bson::Null,
        "watchHistory": Bson::Null, "password": Bson::Null, "createdAt": Bson::Null, "steep": Bson::Null },
        doc! { "username": "c", "email": "c@example.com", "watchHistory": [1, "65a1b2c3d4e5f60718293a4b"], "steep": {} },
    ];
    for user in users {
        let username = user.get_str("username").expect("a name").to_owned();
        let id = adopt(&fixture, user).await;
        let user = fixture.read_user(id).await;
        assert_eq!((user.avatar.url.as_str(), user.cover_image.url.as_str()), ("", ""));
        assert_eq!(user.created_at, OffsetDateTime::UNIX_EPOCH);
        let hash = fixture
            .store
            .users()
            .find_for_sign_in(Some(&username), None)
            .await
            .expect("an answer")
            .expect("a user")
            .hash;
        assert_eq!(hash.expose(), "");
    }
    let id = adopt(
        &fixture,
        doc! { "username": "d", "email": "d", "avatar": { "url": "http://x/d.png", "public_id": "d" } },
    )
    .await;
    assert_eq!(fixture.read_user(id).await.avatar.url, "http://x/d.png");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_user_replaces_its_avatar_and_keeps_the_rest() {
    let fixture = Fixture::new().await;
    let old = "http://old.example.com/ada.png";
    let adopted =
        doc! { "username": "ada", "email": "ada@example.com", "avatar": old, "password": BCRYPT, "theirs": [1, 2] };
    let owner = adopt(&fixture, adopted).await;
    let (job, asset) = first(&fixture.replace_avatar(owner).await);
    assert_eq!(fixture.read_user(owner).await.avatar.url, old);
    let attempt = fixture.claim(job).await.attempt;
    let outcome = fixture.store.complete_upload(job, attempt, asset, stored(asset)).await.expect("completed");
    assert_eq!((outcome.state, outcome.follow_ups.len()), (JobState::Completed, 0), "what is not ours is not deleted");
    let raw = fixture.collection("users").find_one(doc! {}).await.expect("an answer").expect("a user");
    assert_eq!(raw.get_str("avatar").ok(), Some(url(asset).as_str()));
    assert_eq!(raw.get_str("password").ok(), Some(BCRYPT));
    assert_eq!(raw.get_array("theirs").map(Vec::len).ok(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_an_impossible_form_is_reported_by_its_id() {
    let fixture = Fixture::new().await;
    let id = adopt(&fixture, doc! { "username": 7, "email": "x@example.com" }).await;
    match fixture.store.users().find(id).await {
        Err(Error::Corrupt { what: "user", id: named, .. }) => assert_eq!(named, id.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_users_those_of_an_impossible_form_are_left_out() {
    let fixture = Fixture::new().await;
    let ada = fixture.user().await;
    let broken = adopt(&fixture, doc! { "username": 7, "email": "x@example.com" }).await;
    let bob = fixture.user().await;
    let found = fixture.store.users().find_all(&[bob, broken, ada]).await.expect("an answer");
    assert_eq!(found.iter().map(|user| user.id).collect::<HashSet<_>>(), HashSet::from([ada, bob]));
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_in_adopted_data_do_not_stop_a_start() {
    let fixture = Fixture::without_indexes(|_| {}).await;
    for _ in 0..2 {
        adopt(&fixture, doc! { "username": "twin", "email": "twin@example.com" }).await;
    }
    fixture.store.ensure_indexes().await.expect("a start");
    fixture.store.media().register(new_user(), vec![upload(Role::Avatar)], None, None).await.expect("accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_indexes_of_the_other_system_count_and_ours_are_made_once_by_many() {
    let fixture = Fixture::without_indexes(|_| {}).await;
    let theirs = mongodb::IndexModel::builder()
        .keys(doc! { "username": 1 })
        .options(mongodb::options::IndexOptions::builder().unique(true).build())
        .build();
    fixture.collection("users").create_index(theirs).await.expect("an index");
    let plain = mongodb::IndexModel::builder().keys(doc! { "email": 1 }).build();
    fixture.collection("users").create_index(plain).await.expect("an index");
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let store = fixture.store.clone();
            tokio::spawn(async move { store.ensure_indexes().await })
        })
        .collect();
    for start in starts {
        start.await.expect("no panic").expect("a start");
    }
    let count = async |name| fixture.collection(name).list_index_names().await.expect("names").len();
    assert_eq!((count("users").await, count("assets").await, count("jobs").await), (4, 4, 16));
    assert_eq!((count("subscriptions").await, count("subscription_intents").await), (4, 3));
}
