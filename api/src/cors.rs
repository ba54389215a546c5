//! Which pages on other origins may call.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header, request::Parts};
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowOrigin, CorsLayer};
use url::{Host, Url};

use crate::config::{Config, Environment};

/// How long a browser may remember an answer to its preflight.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Pages on a listed origin may call with cookies and whatever headers they ask for; in development so may those on
/// http://localhost, whatever the port. `*` in the list lets pages on any other origin call too, without cookies.
pub(crate) fn layer(config: &Config) -> CorsLayer {
    let anyone = config.cors_origins.iter().any(|origin| origin == "*");
    let listed = config.cors_origins.clone();
    let development = config.environment == Environment::Development;
    let trusted = move |origin: &HeaderValue| {
        let Ok(origin) = origin.to_str() else { return false };
        listed.iter().any(|listed| listed == origin && listed != "*") || (development && is_localhost(origin))
    };
    let allowed = {
        let trusted = trusted.clone();
        move |origin: &HeaderValue, _: &Parts| anyone || trusted(origin)
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_credentials(AllowCredentials::predicate(move |origin, _| trusted(origin)))
        .allow_headers(AllowHeaders::mirror_request())
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .expose_headers([
            header::LOCATION,
            header::RETRY_AFTER,
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("idempotent-replayed"),
        ])
        .max_age(MAX_AGE)
}

fn is_localhost(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    let local = match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && local && url.origin().ascii_serialization() == origin
}
