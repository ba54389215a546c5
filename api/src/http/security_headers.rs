//! Headers that tell browsers what not to do with an answer.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// Every answer has these unless its handler sets another value: the page at /docs has its own policy, and so have
/// uploads, which pages on other origins may show.
const DEFAULTS: [(HeaderName, &str); 5] = [
    // Run, load and frame nothing.
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // For <img> and <script>; pages that may call read answers all the same.
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // Unless a handler knows better, an answer is private.
    (header::CACHE_CONTROL, "no-store"),
];

/// For a year, subdomains included.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");

/// Adds the headers that are missing, and over TLS that clients must come by TLS only.
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
