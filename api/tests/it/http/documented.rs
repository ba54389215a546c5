//! What the API says of itself: `/openapi.json` and the page that shows it.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use store::AdminRole;

use crate::support::{LOGIN, REFRESH_TOKEN, World, assert_refused};

async fn document(world: &World) -> Value {
    let answer = world.api.get("/openapi.json").await.expect(200);
    assert_eq!(answer.header("content-type"), "application/json");
    answer.body
}

/// The methods of a path, in capitals.
fn described(item: &Value) -> BTreeSet<String> {
    let members = item.as_object().expect("a path's operations");
    members.keys().map(|method| method.to_uppercase()).collect()
}

#[tokio::test]
async fn exactly_the_methods_that_a_path_takes_are_described() {
    let world = World::start().await;
    let document = document(&world).await;
    // Nobody else is told what there is for admins.
    let admin = world.admin(AdminRole::Full).await.client;
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().expect("paths") {
        let somewhere = path.replace("{id}", "6b03c08168da5e025c1bd157").replace("{file}", "start.js");
        let answer = admin.send(admin.request(Method::TRACE, &somewhere)).await;
        assert_refused(&answer, 405, &[]);
        let allowed: BTreeSet<String> = answer.header("allow").split(',').map(str::to_owned).collect();
        // Who describes GET describes HEAD.
        let allowed = &allowed - &BTreeSet::from(["HEAD".to_owned()]);
        assert_eq!(allowed, described(item), "{path}");
    }
    world.end().await;
}

#[tokio::test]
async fn every_operation_tells_who_may_call_it_and_how_it_fails() {
    let world = World::start().await;
    let document = document(&world).await;
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let place = format!("{method} {path}");
            assert!(names.insert(operation["operationId"].as_str().expect("a name").to_owned()), "{place} has a twin");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{place}");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.contains_key("500"), "{place}");
            // Those two are what gives a session: they refuse what they are given.
            let needs_session = responses.contains_key("401") && ![LOGIN, REFRESH_TOKEN].contains(&path.as_str());
            assert_eq!(operation.get("security").is_some(), needs_session, "{place}");
            for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "4") {
                let content = response.get("content").and_then(Value::as_object);
                // The file server's own, and /readyz, which is no refusal.
                let exempt = status == "412" || (path == "/readyz" && status == "503");
                assert!(
                    exempt || content.is_some_and(|content| content.contains_key("application/problem+json")),
                    "{place}"
                );
            }
        }
    }
    world.end().await;
}

#[tokio::test]
async fn the_page_loads_nothing_but_files_of_this_server() {
    let world = World::start().await;
    let fetch = async |path: &str| {
        let reply = reqwest::get(format!("{}{path}", world.api.url())).await.expect("an answer");
        assert_eq!(reply.status(), 200, "{path}");
        let headers = reply.headers().clone();
        (headers, String::from_utf8_lossy(&reply.bytes().await.expect("a body")).into_owned())
    };
    let (headers, page) = fetch("/docs").await;
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    let policy = headers["content-security-policy"].to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    let loaded: Vec<&str> = page.split(['"']).filter(|text| text.starts_with("/docs/")).collect();
    assert_eq!(loaded.len(), 4, "{page}");
    assert!(!page.contains("://"), "{page}");
    for path in loaded {
        let (headers, _) = fetch(path).await;
        assert_ne!(headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
    for path in ["/docs/index.html", "/docs/..%2fCargo.toml", "/docs/%ff"] {
        assert_refused(&world.api.get(path).await, 404, &[]);
    }
    world.end().await;
}
