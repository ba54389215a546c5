//! Endpoints of webhooks, seen and changed by an admin.

use reqwest::Method;
use serde_json::{Value, json};
use store::AdminRole;
use testkit::{Answer, Client};

use super::{assert_guarded, nothing};
use crate::support::{World, assert_accepted, assert_refused};

const ENDPOINTS: &str = "/api/v1/admin/webhook-endpoints";
/// On the internet by its spelling, so that no name server is needed.
const URL: &str = "https://93.184.216.34/hooks";

async fn list(admin: &Client, query: &str) -> Vec<Value> {
    let answer = admin.get(&format!("{ENDPOINTS}{query}")).await.expect(200);
    answer.data()["items"].as_array().expect("a list").clone()
}

async fn remove(admin: &Client, path: &str) -> Answer {
    admin.send(admin.request(Method::DELETE, path)).await
}

#[tokio::test]
async fn endpoints_of_everybody_are_seen_and_their_secrets_are_not() {
    let world = World::start().await;
    let (admin, member) = (world.admin(AdminRole::Full).await.client, world.member().await);
    for _ in 0..2 {
        member.client.post("/api/v1/webhook-endpoints", &json!({"url": URL})).await.expect(201);
    }
    let added = admin.post(ENDPOINTS, &json!({"url": URL, "description": "the ledger"})).await;
    assert_accepted(&added, 201);
    let all = list(&admin, "").await;
    let owners: Vec<&Value> = all.iter().map(|endpoint| &endpoint["owner"]).collect();
    assert_eq!(owners, [&Value::Null, &json!(member.id.to_string()), &json!(member.id.to_string())]);
    assert!(all.iter().all(|endpoint| endpoint.get("secret").is_none()), "{all:?}");
    assert_eq!(list(&admin, "?holder=operator").await, all[..1]);

    let first = admin.get(&format!("{ENDPOINTS}?limit=2")).await.expect(200).data().clone();
    let cursor = first["nextCursor"].as_str().expect("a cursor");
    assert_eq!(list(&admin, &format!("?limit=2&cursor={cursor}")).await, all[2..]);
    for wrong in ["?cursor=nonsense", &format!("?cursor={cursor}0"), &format!("?holder=operator&cursor={cursor}")] {
        assert_refused(&admin.get(&format!("{ENDPOINTS}{wrong}")).await, 422, &["cursor"]);
    }
    assert_refused(&admin.get(&format!("{ENDPOINTS}?holder=me")).await, 422, &["holder"]);
    world.end().await;
}

#[tokio::test]
async fn an_endpoint_of_the_operators_is_added_switched_rotated_and_removed_and_the_audit_has_it() {
    let world = World::with(&["--webhook-allow-private=false"]).await;
    let (admin, member) = (world.admin(AdminRole::Full).await.client, world.member().await);
    assert_guarded(&world, &admin, Method::POST, ENDPOINTS, &json!({"url": URL})).await;
    assert_refused(&admin.post(ENDPOINTS, &json!({"url": "https://127.0.0.1/"})).await, 422, &["url"]);
    let added = admin.post(ENDPOINTS, &json!({"url": URL})).await.expect(201);
    let path = format!("{ENDPOINTS}/{}", added.data()["id"].as_str().expect("an id"));
    for rest in ["/enable", "/disable", "/rotate", "/replay"] {
        assert_guarded(&world, &admin, Method::POST, &format!("{path}{rest}"), &nothing()).await;
    }
    assert_guarded(&world, &admin, Method::DELETE, &path, &nothing()).await;

    for (rest, enabled, count) in [("/disable", false, 1), ("/disable", false, 0), ("/enable", true, 1)] {
        let answer = admin.post(&format!("{path}{rest}"), &nothing()).await.expect(200);
        assert_eq!(answer.data()["enabled"], enabled);
        assert_eq!(world.last_entry(&admin).await["count"], count, "{rest}");
    }
    let rotated = admin.post(&format!("{path}/rotate"), &nothing()).await.expect(200);
    assert_ne!(rotated.data()["secret"], added.data()["secret"]);
    let entry = world.last_entry(&admin).await;
    assert_eq!(entry["action"], "webhook-endpoint.rotate");
    assert!(!entry.to_string().contains("whsec_"), "{entry}");
    let range = json!({"since": "2026-01-02T03:04:05Z"});
    let replayed = admin.post(&format!("{path}/replay"), &range).await.expect(202);
    assert_eq!(replayed.data(), &json!({"replayed": 0, "nextSince": null}));
    let delivery = format!("{path}/deliveries/019389a0-0000-7000-8000-00000000000a/replay");
    assert_refused(&admin.post(&delivery, &nothing()).await, 404, &[]);

    // A user's is the user's.
    let theirs = member.client.post("/api/v1/webhook-endpoints", &json!({"url": URL})).await.expect(201);
    let of_member = format!("{ENDPOINTS}/{}", theirs.data()["id"].as_str().expect("an id"));
    assert_refused(&remove(&admin, &of_member).await, 404, &[]);
    assert_refused(&admin.post(&format!("{of_member}/disable"), &nothing()).await, 404, &[]);
    remove(&admin, &path).await.expect(200);
    assert_eq!(world.last_entry(&admin).await["action"], "webhook-endpoint.remove");
    assert_refused(&remove(&admin, &path).await, 404, &[]);
    assert_eq!(list(&admin, "?holder=operator").await, Vec::<Value>::new());
    world.end().await;
}
