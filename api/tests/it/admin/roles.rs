//! Who is an admin, and what the others are told.

use reqwest::Method;
use serde_json::Value;
use store::AdminRole;
use testkit::Client;

use super::{AUDIT, nothing};
use crate::support::{World, assert_refused};

/// Everything below the admins' path that the document has, and some that there is not.
async fn places(world: &World) -> Vec<(Method, String)> {
    let document = world.api.get("/openapi.json").await.expect(200).body;
    let mut places = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        if !path.starts_with("/api/v1/admin") {
            continue;
        }
        for method in item.as_object().expect("operations").keys() {
            places.push((method.to_uppercase().parse().expect("a method"), path.clone()));
        }
        places.push((Method::TRACE, path.clone()));
    }
    assert!(places.len() > 3, "{places:?}");
    for path in
        ["/api/v1/admin", "/api/v1/admin/", "/api/v1/admin/nothing", "/API/v1/ADMIN/audit/", "/api/v1/admin/a/b/c"]
    {
        places.extend([Method::GET, Method::POST, Method::DELETE].map(|method| (method, path.to_owned())));
    }
    places
}

async fn ask(client: &Client, method: &Method, path: &str) -> (u16, Value) {
    let answer = client.send(client.request(method.clone(), path)).await;
    let status = answer.status.as_u16();
    // Where an id stands, a path of the document has none: 422 names it.
    if status >= 400 && status != 422 {
        assert_refused(&answer, status, &[]);
    }
    (status, answer.body)
}

#[tokio::test]
async fn who_is_no_admin_gets_one_answer_everywhere_whatever_exists() {
    let world = World::start().await;
    let member = world.member().await;
    let nobody = Client::new(world.api.url());
    let mut told = Vec::new();
    for (method, path) in places(&world).await {
        assert_eq!(ask(&nobody, &method, &path).await.0, 401, "{method} {path}");
        let (status, body) = ask(&member.client, &method, &path).await;
        assert_eq!(status, 403, "{method} {path}");
        told.push(body);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["type"], "urn:steep:problem:forbidden");
    world.end().await;
}

#[tokio::test]
async fn a_read_only_admin_reads_everything_and_is_refused_whatever_changes_something() {
    let world = World::start().await;
    let reader = world.admin(AdminRole::ReadOnly).await;
    let refusal = ask(&world.member().await.client, &Method::GET, AUDIT).await;
    for (method, path) in places(&world).await {
        let answer = ask(&reader.client, &method, &path).await;
        if method == Method::GET {
            assert!(![401, 403].contains(&answer.0), "{path}: {answer:?}");
        } else {
            assert_eq!(answer, refusal, "{method} {path}");
        }
    }
    let full = world.admin(AdminRole::Full).await;
    for (method, path) in [(Method::GET, "/api/v1/admin"), (Method::POST, "/api/v1/admin/nothing")] {
        assert_eq!(ask(&full.client, &method, path).await.0, 404, "an admin is told");
    }
    assert_eq!(ask(&full.client, &Method::DELETE, AUDIT).await.0, 405);
    world.end().await;
}

#[tokio::test]
async fn a_role_that_is_granted_or_revoked_counts_from_the_next_request_on() {
    let world = World::start().await;
    let member = world.member().await;
    let users = world.env.store().users();
    let reconcile = format!("/api/v1/admin/channels/{}/reconcile", member.name);
    let seen = async || {
        let reads = member.client.get(AUDIT).await.status.as_u16();
        (reads, member.client.post(&reconcile, &nothing()).await.status.as_u16())
    };
    assert_eq!(seen().await, (403, 403));
    users.grant_admin(&member.name.to_uppercase(), AdminRole::ReadOnly).await.expect("an answer").expect("the user");
    assert_eq!(seen().await, (200, 403));
    users.grant_admin(&member.name, AdminRole::Full).await.expect("an answer").expect("the user");
    assert_eq!(seen().await, (200, 200));
    users.revoke_admin(&member.name).await.expect("an answer").expect("the user");
    assert_eq!(seen().await, (403, 403));
    world.end().await;
}

#[tokio::test]
async fn nothing_that_a_user_sends_makes_them_an_admin() {
    let world = World::start().await;
    let member = world.member().await;
    let wish =
        serde_json::json!({"fullName": "A Person", "admin": "full", "steep": {"admin": "full"}, "steep.admin": "full"});
    let change = member.client.request(Method::PATCH, "/api/v1/users/update-account").json(&wish);
    let answer = member.client.send(change).await.expect(200);
    assert!(!answer.body.to_string().contains("admin"), "{}", answer.body);
    let form = crate::support::registration("mallory").text("admin", "full").text("steep.admin", "full");
    let form = form.file("avatar", "me.jpg", testkit::jpeg(2_000));
    world.api.upload(Method::POST, crate::support::REGISTER, &form).await.expect(201);
    assert_eq!(world.env.store().users().admins().await.expect("a list"), []);
    member.client.get(AUDIT).await.expect(403);
    world.work_off_and_end().await;
}
