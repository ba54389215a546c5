//! Pages on other origins.

use reqwest::Method;
use testkit::{Answer, mp4};

use crate::support::{CURRENT_USER, LOGIN, MEDIA, World, submit};

const PRODUCTION: &str = "--steep-env=production";

async fn from_origin(world: &World, origin: &str) -> Answer {
    world.api.send(world.api.request(Method::GET, CURRENT_USER).header("origin", origin)).await
}

async fn preflight(world: &World, origin: &str) -> Answer {
    let request = world.api.request(Method::OPTIONS, LOGIN).header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    world.api.send(request.header("access-control-request-headers", "content-type,x-whatever")).await
}

fn allows(answer: &Answer) -> (&str, &str) {
    (answer.header("access-control-allow-origin"), answer.header("access-control-allow-credentials"))
}

#[tokio::test]
async fn pages_on_a_listed_origin_may_call_with_credentials() {
    let origins = "--cors-origin=https://app.example.com, http://10.0.0.5:3000/";
    let world = World::with(&[PRODUCTION, origins]).await;
    for origin in ["https://app.example.com", "http://10.0.0.5:3000"] {
        // A refusal too must be readable, or the page cannot tell that it has to sign in.
        let answer = from_origin(&world, origin).await.expect(401);
        assert_eq!(allows(&answer), (origin, "true"));
        assert!(answer.header("vary").to_ascii_lowercase().contains("origin"));
        let exposed = answer.header("access-control-expose-headers").to_ascii_lowercase();
        let mut exposed: Vec<&str> = exposed.split(',').map(str::trim).collect();
        exposed.sort_unstable();
        let of_files = ["accept-ranges", "content-length", "content-range", "etag"];
        let all = ["idempotent-replayed", "location", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"];
        assert_eq!(exposed, [&of_files[..], &all].concat());
        let answer = preflight(&world, origin).await.expect(200);
        assert_eq!(allows(&answer), (origin, "true"));
        assert_eq!(answer.header("access-control-allow-headers"), "content-type,x-whatever");
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            assert!(answer.header("access-control-allow-methods").contains(method));
        }
    }
    world.end().await;
}

#[tokio::test]
async fn pages_on_another_origin_may_not() {
    let world = World::with(&[PRODUCTION, "--cors-origin=https://app.example.com"]).await;
    for origin in [
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com.evil.com",
        "https://app.example.com:8443",
        "http://localhost:5173",
        "null",
    ] {
        assert_eq!(allows(&from_origin(&world, origin).await).0, "", "{origin}");
        assert_eq!(allows(&preflight(&world, origin).await).0, "", "{origin}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_star_lets_anybody_in_without_credentials() {
    let world = World::with(&[PRODUCTION, "--cors-origin=*,https://app.example.com"]).await;
    let stranger = from_origin(&world, "https://other.example.com").await;
    assert_eq!(stranger.header("access-control-allow-credentials"), "");
    assert_ne!(stranger.header("access-control-allow-origin"), "");
    assert_eq!(allows(&from_origin(&world, "https://app.example.com").await), ("https://app.example.com", "true"));
    world.end().await;
}

#[tokio::test]
async fn in_development_every_port_of_this_machine_may_call() {
    let world = World::start().await;
    for origin in ["http://localhost:5173", "http://localhost", "http://127.0.0.1:3000", "http://[::1]:8080"] {
        assert_eq!(allows(&from_origin(&world, origin).await), (origin, "true"));
    }
    for origin in ["https://app.example.com", "http://localhost.evil.com", "http://evil.com/localhost", "null"] {
        assert_eq!(allows(&from_origin(&world, origin).await).0, "", "{origin}");
    }
    world.end().await;
}

#[tokio::test]
async fn pages_anywhere_read_uploads_and_their_parts_but_without_the_users_cookies() {
    let world = World::with(&[PRODUCTION, "--cors-origin=https://app.example.com"]).await;
    let member = world.member().await;
    let answer = submit(&member.client, "film.mp4", &mp4(3_000)).await.expect(202);
    let path = format!("{MEDIA}/{}", answer.data()["_id"].as_str().expect("an id"));
    let spellings = [path.clone(), format!("{path}/"), path.replace("api/v1/media", "API/v1/Media")];
    for (origin, credentials) in [
        ("https://app.example.com", "true"),
        ("https://blog.example.org", ""),
        ("null", ""),
        ("http://localhost:1", ""),
    ] {
        for path in &spellings {
            for method in [Method::GET, Method::HEAD] {
                let request = world.api.request(Method::OPTIONS, path).header("origin", origin);
                let request = request.header("access-control-request-method", method.as_str());
                let preflight = world.api.send(request.header("access-control-request-headers", "range")).await;
                assert_eq!(allows(&preflight.clone().expect(200)), (origin, credentials), "{method} {path}");
                assert_eq!(preflight.header("access-control-allow-headers"), "range");
                assert!(preflight.header("access-control-allow-methods").contains(method.as_str()));

                let request = world.api.request(method.clone(), path).header("origin", origin);
                let part = world.api.send(request.header("range", "bytes=-500")).await.expect(206);
                assert_eq!(allows(&part), (origin, credentials), "{method} {path}");
                let read = ["content-range", "content-length", "accept-ranges"].map(|name| part.header(name));
                assert_eq!(read, ["bytes 2500-2999/3000", "500", "bytes"]);
                let exposed = part.header("access-control-expose-headers").to_ascii_lowercase();
                for name in ["content-range", "content-length", "accept-ranges", "etag"] {
                    assert!(exposed.split(',').any(|exposed| exposed.trim() == name), "{name}: {exposed}");
                }
            }
        }
        // What cannot be answered is told to the page too.
        let request = world.api.request(Method::GET, &path).header("origin", origin);
        let beyond = world.api.send(request.header("range", "bytes=3000-")).await.expect(416);
        assert_eq!((allows(&beyond), beyond.header("content-range")), ((origin, credentials), "bytes */3000"));
    }
    // Nothing else is open because of it: not the list beside it, nor a change.
    for (method, path) in
        [("GET", format!("{MEDIA}/")), ("GET", MEDIA.to_owned()), ("DELETE", path.clone()), ("POST", MEDIA.to_owned())]
    {
        let request = world.api.request(Method::OPTIONS, &path).header("origin", "https://blog.example.org");
        let answer = world.api.send(request.header("access-control-request-method", method)).await;
        assert_eq!(allows(&answer).0, "", "{method} {path}");
    }
    // The redirect is followed by pages as well.
    let worker = world.env.worker().await;
    member.client.wait_for_job(&answer.job(0), &["completed"]).await;
    let moved = world.api.request(Method::GET, &path).header("origin", "https://blog.example.org");
    assert_eq!(allows(&world.api.send(moved).await.expect(302)).0, "https://blog.example.org");
    world.end().await;
    drop(worker);
}
