//! Headers that keep browsers from making more of an answer than it is.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// What every answer has unless its handler gave it another value. The page at /docs has a policy of its own, and so have
/// uploads, which pages on other origins may show.
const DEFAULTS: [(HeaderName, &str); 5] = [
    // Of no answer is anything run, loaded or framed.
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // Pages that may call read answers all the same; this is about <img> and <script>.
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // Whatever is not known to be everybody's is somebody's.
    (header::CACHE_CONTROL, "no-store"),
];

/// A year, and what is below the host too.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");

/// Adds the headers that are missing, and over TLS that there is no other way.
pub(crate) async fn add(State(is_secure): State<bool>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
    }
    response
}
