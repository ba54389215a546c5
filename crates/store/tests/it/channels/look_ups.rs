//! Look-ups of users that come at the same time.

use std::collections::HashSet;
use std::time::Duration;

use bson::{Document, doc, oid::ObjectId};
use messages::UserId;
use store::{Error, Store};
use tokio::task::JoinSet;

use crate::support::Fixture;

async fn look_up(store: &Store, ids: &[UserId]) -> Vec<(UserId, Result<Option<UserId>, Error>)> {
    let mut tasks = JoinSet::new();
    for &id in ids {
        let store = store.clone();
        tasks.spawn(async move { (id, store.users().find(id).await.map(|user| user.map(|user| user.id))) });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_each_gets_its_own_and_a_broken_one_hurts_nobody_else() {
    let fixture = Fixture::new().await;
    let mut users = Vec::new();
    for _ in 0..40 {
        users.push(fixture.user().await);
    }
    let broken = ObjectId::new();
    let odd = doc! { "_id": broken, "username": 7, "email": "odd" };
    fixture.collection("users").insert_one(odd).await.expect("inserted");
    let broken = UserId::from_bytes(broken.bytes());
    let unknown: HashSet<UserId> = (0..20).map(|_| store::new_user_id()).collect();

    let mut ids = users.repeat(6);
    ids.extend(&unknown);
    ids.push(broken);
    for (id, found) in look_up(&fixture.store, &ids).await {
        match found {
            Ok(found) => assert_eq!(found, (!unknown.contains(&id)).then_some(id)),
            Err(Error::Corrupt { .. }) => assert_eq!(id, broken),
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_look_up_keeps_nobody_waiting() {
    let fixture = Fixture::new().await;
    let user = fixture.user().await;
    for _ in 0..200 {
        drop(tokio::time::timeout(Duration::from_micros(50), look_up(&fixture.store, &[user; 8])).await);
    }
    assert_eq!(fixture.read_user(user).await.id, user);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_sees_what_was_written_before_it_came() {
    let fixture = Fixture::new().await;
    let user = fixture.user().await;
    let users = fixture.collection("users");
    let mut others = JoinSet::new();
    for _ in 0..8 {
        let store = fixture.store.clone();
        others.spawn(async move {
            for _ in 0..100 {
                store.users().find(user).await.expect("an answer");
            }
        });
    }
    for number in 0..50 {
        let name = format!("name {number}");
        let update: Document = doc! { "$set": { "fullName": &name } };
        users.update_one(doc! { "_id": ObjectId::from_bytes(user.bytes()) }, update).await.expect("an answer");
        assert_eq!(fixture.read_user(user).await.full_name, name);
    }
    others.join_all().await;
}
