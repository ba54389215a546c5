//! A channel's counts, compared by an admin.

use mongodb::bson::{Document, doc, oid::ObjectId};
use reqwest::Method;
use serde_json::{Value, json};
use store::AdminRole;

use super::{assert_guarded, nothing};
use crate::support::{World, assert_refused};

#[tokio::test]
async fn counts_that_have_drifted_are_mended_and_told_and_the_audit_has_it() {
    let world = World::start().await;
    let (admin, channel) = (world.admin(AdminRole::Full).await, world.member().await);
    let path = format!("/api/v1/admin/channels/{}/reconcile", channel.name.to_uppercase());
    assert_guarded(&world, &admin.client, Method::POST, &path, &nothing()).await;
    let id = doc! { "_id": ObjectId::from_bytes(channel.id.bytes()) };
    let wrong = doc! { "$set": { "steep.aggregates.subscribersCount": 7_i64 } };
    world.env.database().collection::<Document>("users").update_one(id, wrong).await.expect("written");

    let mended = admin.client.post(&path, &nothing()).await.expect(200).data().clone();
    let counts = |subscribers: i64| json!({"subscribersCount": subscribers, "channelsSubscribedToCount": 0});
    let expected = json!({
        "channel": channel.id.to_string(), "outcome": "mended", "stored": counts(7), "counted": counts(0),
    });
    assert_eq!(mended, expected);
    let entry = world.last_entry(&admin.client).await;
    assert_eq!((&entry["action"], &entry["outcome"]), (&json!("channel.reconcile"), &json!("done")));
    assert_eq!((&entry["count"], &entry["from"]), (&json!(1), &json!("127.0.0.1")));
    assert_eq!(entry["by"], json!({"user": admin.id.to_string(), "name": admin.name}));
    assert_eq!(entry["target"], json!({"kind": "channel", "id": channel.id.to_string()}));

    // A second time there is nothing to mend.
    let right = admin.client.post(&path, &nothing()).await.expect(200).data().clone();
    assert_eq!((&right["outcome"], &right["stored"]), (&json!("right"), &Value::Null));
    assert_eq!(world.last_entry(&admin.client).await["count"], 0);
    assert_refused(&admin.client.post("/api/v1/admin/channels/nobody/reconcile", &nothing()).await, 404, &[]);
    world.end().await;
}
