//! How freely an address may be written, and what there is at none.

use reqwest::Method;
use serde_json::Value;
use testkit::jpeg;

use crate::support::{
    AVATAR, COVER_IMAGE, CURRENT_USER, LOGIN, MEDIA, REGISTER, World, assert_accepted, assert_refused,
};

#[tokio::test]
async fn a_slash_at_the_end_and_another_case_reach_the_same_route() {
    let world = World::start().await;
    let member = world.member().await;
    for path in ["/api/v1/users/current-user/", "/api/v1/Users/Current-User", "/API/V1/USERS/CURRENT-USER//"] {
        let answer = member.client.get(path).await;
        assert_accepted(&answer, 200);
        assert_eq!(answer.data()["username"], member.name.as_str());
    }
    assert_accepted(&member.client.get("/api/v1/media/?page=1").await, 200);
    let form = testkit::Upload::new().file("coverImage", "c.jpg", jpeg(2_000));
    assert_accepted(&member.client.upload(Method::PATCH, "/api/v1/users/cover-Image", &form).await, 202);
    assert_accepted(&member.client.get("/api/v1/healthcheck/").await, 200);
    world.work_off_and_end().await;
}

#[tokio::test]
async fn an_unknown_route_is_404() {
    let world = World::start().await;
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/users",
        "/api/v1/users/register/now",
        "//api/v1/media",
        "/..%2f..%2fetc/passwd",
        "/api/v2/media",
        "/favicon.ico",
    ] {
        assert_refused(&world.api.get(path).await, 404, &[]);
    }
    let answer = world.api.send(world.api.request(Method::DELETE, "/nowhere")).await;
    assert_refused(&answer, 404, &[]);
    world.end().await;
}

#[tokio::test]
async fn a_wrong_method_is_405_and_the_right_ones_are_named() {
    let world = World::start().await;
    for (method, path, allowed) in [
        (Method::GET, REGISTER, vec!["POST"]),
        (Method::PUT, LOGIN, vec!["POST"]),
        (Method::POST, CURRENT_USER, vec!["GET", "HEAD"]),
        (Method::GET, AVATAR, vec!["PATCH"]),
        (Method::POST, COVER_IMAGE, vec!["PATCH"]),
        (Method::DELETE, MEDIA, vec!["GET", "HEAD", "POST"]),
        (Method::POST, "/api/v1/media/0123456789abcdef01234567", vec!["GET", "HEAD"]),
        (Method::DELETE, "/healthz", vec!["GET", "HEAD"]),
    ] {
        let answer = world.api.send(world.api.request(method.clone(), path)).await;
        assert_refused(&answer, 405, &[]);
        let mut named: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
        named.sort_unstable();
        assert_eq!(named, allowed, "{method} {path}");
    }
    world.end().await;
}

#[tokio::test]
async fn every_answer_carries_the_id_of_its_request() {
    let world = World::start().await;
    let ask = async |id: &str, path: &str| {
        world.api.send(world.api.request(Method::GET, path).header("x-request-id", id)).await
    };
    for path in ["/healthz", "/nowhere", CURRENT_USER] {
        assert_eq!(ask("abc-123", path).await.header("x-request-id"), "abc-123");
    }
    // One that could do harm in a log is replaced.
    for unusable in ["", "a b", &"x".repeat(129)] {
        let given = ask(unusable, "/healthz").await.header("x-request-id").to_owned();
        assert!(given.len() == 36 && given != unusable, "{given}");
    }
    assert_ne!(world.api.get("/healthz").await.header("x-request-id"), "");
    world.end().await;
}

#[tokio::test]
async fn health_is_told_and_each_dependency_named() {
    let world = World::start().await;
    for path in ["/healthz", "/api/v1/healthcheck"] {
        let answer = world.api.get(path).await;
        assert_accepted(&answer, 200);
        assert_eq!(answer.data()["status"], "ok");
    }
    testkit::TestEnv::until("everything is up", || async {
        let ready = world.api.get("/readyz").await.expect(200);
        assert_eq!(ready.body["ready"], Value::Bool(true));
        ["mongodb", "rabbitmq", "spool"].iter().all(|name| ready.body["dependencies"][name]["state"] == "up")
    })
    .await;
    world.end().await;
}
