//! Pages on other origins.

use reqwest::Method;
use testkit::Answer;

use crate::support::{CURRENT_USER, LOGIN, World};

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
        let all = ["idempotent-replayed", "location", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"];
        assert_eq!(exposed, all);
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
