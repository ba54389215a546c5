//! Which pages on other origins may call (CORS).

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header, request::Parts};
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowOrigin, CorsLayer};

use crate::config::Config;
use crate::http::csrf::Origins;
use crate::http::path_case;

/// Whoever has the address of an upload may look, without a session.
const PUBLIC: &str = "/api/v1/media/{id}";
/// How long a browser may remember an answer to its preflight.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Lets pages on a listed origin call with cookies and any headers; in development also pages on http://localhost, on
/// any port. `*` in the list lets pages on any other origin call too, without cookies. Uploads are read by pages anywhere, as they
/// are at the media host.
pub(crate) fn layer(config: &Config, origins: Origins) -> CorsLayer {
    let anyone = config.http.allows_any_origin();
    let trusted = move |origin: &HeaderValue| origin.to_str().is_ok_and(|origin| origins.trusts(origin));
    let allowed = {
        let trusted = trusted.clone();
        move |origin: &HeaderValue, request: &Parts| anyone || trusted(origin) || reads_an_upload(request)
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_credentials(AllowCredentials::predicate(move |origin, _| trusted(origin)))
        .allow_headers(AllowHeaders::mirror_request())
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .expose_headers([
            header::LOCATION,
            header::RETRY_AFTER,
            header::ETAG,
            header::ACCEPT_RANGES,
            header::CONTENT_RANGE,
            header::CONTENT_LENGTH,
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("idempotent-replayed"),
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
        ])
        .max_age(MAX_AGE)
}

/// A preflight names the method of the request that it is for.
fn reads_an_upload(request: &Parts) -> bool {
    let method = match request.method {
        Method::OPTIONS => request.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).map(HeaderValue::as_bytes),
        ref method => Some(method.as_str().as_bytes()),
    };
    matches!(method, Some(b"GET" | b"HEAD")) && path_case::is_of(PUBLIC, request.uri.path())
}
