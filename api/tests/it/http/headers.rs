//! What answers say beside their bodies, for browsers to keep to.

use reqwest::Method;
use testkit::{Answer, PASSWORD, TestEnv, jpeg};

use crate::support::{CURRENT_USER, LOGIN, MEDIA, World};

const HTTPS: &str = "--public-url=https://api.example.com";

fn assert_kept_to_itself(answer: &Answer, place: &str) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(name), value, "{place}: {name}");
    }
    assert!(!answer.header("x-request-id").is_empty(), "{place}");
}

#[tokio::test]
async fn no_answer_is_framed_sniffed_stored_or_loaded_elsewhere() {
    let world = World::start().await;
    let member = world.member().await;
    for (method, path) in [
        (Method::GET, CURRENT_USER),
        (Method::GET, MEDIA),
        (Method::GET, "/api/v1/jobs/nonsense"),
        (Method::GET, "/nowhere"),
        (Method::TRACE, MEDIA),
        (Method::POST, LOGIN),
        (Method::POST, MEDIA),
        (Method::GET, "/healthz"),
        (Method::GET, "/readyz"),
    ] {
        let answer = member.client.send(member.client.request(method.clone(), path)).await;
        assert_kept_to_itself(&answer, &format!("{method} {path}"));
        assert_eq!(answer.header("strict-transport-security"), "");
    }
    let preflight = world.api.request(Method::OPTIONS, LOGIN).header("origin", "http://localhost:5173");
    let preflight = world.api.send(preflight.header("access-control-request-method", "POST")).await.expect(200);
    assert_eq!(preflight.header("x-content-type-options"), "nosniff");
    world.end().await;
}

#[tokio::test]
async fn over_tls_there_is_no_other_way() {
    let world = World::with(&[HTTPS]).await;
    for path in ["/healthz", CURRENT_USER, "/docs"] {
        let answer = world.api.get(path).await;
        assert_eq!(answer.header("strict-transport-security"), "max-age=31536000; includeSubDomains", "{path}");
    }
    world.end().await;
}

#[tokio::test]
async fn an_upload_is_shown_by_pages_elsewhere_and_runs_nothing() {
    let world = World::start().await;
    let (user, answer) = world.api.new_user(jpeg(2_000)).await;
    let address = answer.data()["avatar"].as_str().expect("an address").to_owned();
    let shown = user.get(&address).await.expect(200);
    let policy = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox";
    assert_eq!(shown.header("content-security-policy"), policy);
    assert_eq!(shown.header("x-content-type-options"), "nosniff");
    assert_eq!(shown.header("cache-control"), "no-cache");
    assert_eq!(shown.header("cross-origin-resource-policy"), "cross-origin");
    assert!(!shown.header("x-request-id").is_empty());

    let worker = world.env.worker().await;
    user.wait_for_job(&answer.job(0), &["completed"]).await;
    let moved = user.get(&address).await.expect(302);
    assert_eq!(moved.header("cross-origin-resource-policy"), "cross-origin");
    world.end().await;
    drop(worker);
}

/// The attributes of the cookie that signing in sets.
async fn cookie(args: &[&str]) -> String {
    let world = World::with(args).await;
    let (name, answer) = world.api.register(jpeg(2_000)).await;
    answer.expect(201);
    let credentials = serde_json::json!({"username": name, "password": PASSWORD});
    let cookie = world.api.post(LOGIN, &credentials).await.expect(200).header("set-cookie").to_owned();
    world.work_off_and_end().await;
    cookie
}

#[tokio::test]
async fn the_cookie_goes_to_other_sites_only_if_that_is_set() {
    for (setting, attribute) in [("strict", "SameSite=Strict"), ("none", "SameSite=None"), ("lax", "SameSite=Lax")] {
        let cookie = cookie(&[HTTPS, &format!("--cookie-same-site={setting}")]).await;
        for expected in [attribute, "HttpOnly", "Secure", "Path=/"] {
            assert!(cookie.split("; ").any(|part| part == expected), "{setting}: {cookie}");
        }
    }
}

#[tokio::test]
async fn a_usable_id_of_the_clients_is_kept_and_any_other_replaced() {
    let world = World::start().await;
    let with_id = async |id: &str| {
        let answer = world.api.send(world.api.request(Method::GET, "/healthz").header("x-request-id", id)).await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(with_id("trace-17").await, "trace-17");
    for id in ["two words", &"x".repeat(129)] {
        let replaced = with_id(id).await;
        assert!(replaced != id && replaced.len() == 36, "{replaced}");
    }
    TestEnv::until("two requests have two ids", async || with_id("").await != with_id("").await).await;
    world.end().await;
}
