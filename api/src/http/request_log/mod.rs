//! One id and one line in the log for every request.
//!
//! Not tower-http's `TraceLayer`: the cause of a failure belongs in that line, and it comes with the response.

mod exported;

use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use messages::Trace;
use tracing::Instrument;
use tracing::field::Empty;
use uuid::Uuid;

use crate::http::problem::Cause;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a client.
const MAX_ID_BYTES: usize = 128;

/// Gives the request an id (the client's, if it sent a usable one), runs it, and logs how it went. The cause of a
/// failure is in that line and nowhere else.
pub(crate) async fn log(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    // Where `trace` finds it.
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let method = request.method().clone();
    // Without the query: it may hold what people search for.
    let path = request.uri().path().to_owned();
    let started = Instant::now();
    // Of the highest level, so that no filter that shows a line hides its request.
    let span = tracing::error_span!("request", id = id.to_str().unwrap_or_default(), traceparent = Empty);
    let exported = span.in_scope(|| exported::begin(&mut request));
    if let Some((traceparent, _)) = exported::sent(request.headers()) {
        span.record("traceparent", traceparent);
    }

    let mut response = match &exported {
        Some(exported) => next.run(request).instrument(exported.span.clone()).instrument(span.clone()).await,
        None => next.run(request).instrument(span.clone()).await,
    };
    if let Some(exported) = &exported {
        exported.end(&method, &response);
    }

    let status = response.status().as_u16();
    let ms = started.elapsed().as_millis();
    let cause = response.extensions_mut().remove::<Cause>().map(|cause| text(&cause));
    let cause = cause.as_deref();
    span.in_scope(|| match cause {
        Some(cause) if status >= 500 => tracing::error!(%method, path, status, ms, cause, "request failed"),
        Some(cause) => tracing::info!(%method, path, status, ms, cause, "request refused"),
        None => tracing::info!(%method, path, status, ms, "request"),
    });
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// A cause and what caused it. As a text it is logged in quotes: what a client put into it looks like no field of ours.
fn text(cause: &Cause) -> String {
    let mut text = cause.0.to_string();
    let mut next = cause.0.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = source.source();
    }
    text
}

fn request_id(headers: &HeaderMap) -> HeaderValue {
    let usable = |id: &HeaderValue| {
        id.len() <= MAX_ID_BYTES && !id.is_empty() && id.as_bytes().iter().all(|byte| byte.is_ascii_graphic())
    };
    if let Some(id) = headers.get(REQUEST_ID).filter(|id| usable(id)) {
        return id.clone();
    }
    // A hyphenated UUID is a valid header value.
    HeaderValue::from_str(&Uuid::new_v4().to_string()).unwrap_or(HeaderValue::from_static("-"))
}

/// What a job keeps of the request that submits it. The id is the one of [`log()`], and so is the span if it is exported; if not, it
/// is the one that the client named.
pub(crate) fn trace(headers: &HeaderMap) -> Option<Trace> {
    let id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let (traceparent, tracestate) = exported::sent(headers).unzip();
    Some(Trace::of(id.map(str::to_owned), traceparent)?.with_tracestate(tracestate.flatten()))
}
