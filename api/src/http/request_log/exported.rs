//! The span of a request, by which it is found among the traces, and the context of the trace that it came with.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use program::telemetry::{self, TraceContext};
use tracing::Span;
use tracing::field::Empty;

use crate::http::request_metrics::Route;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The most that is taken of what others have added to a trace, bytes: as much as everybody has to pass on.
const MAX_STATE_BYTES: usize = 512;
/// Asked every few seconds by those who look whether the program lives.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/api/v1/healthcheck"];

/// A request as it is exported.
pub(super) struct Exported {
    pub(super) span: Span,
    route: Route,
}

/// Begins the span, in the trace that the client names. From here on the request's own headers name this span, so that its jobs
/// continue there. `None`: requests are not exported, or this one is not.
pub(super) fn begin(request: &mut Request) -> Option<Exported> {
    let path = request.uri().path();
    if PROBES.contains(&path) {
        return None;
    }
    let span = tracing::debug_span!(
        target: "otel",
        "request",
        otel.name = request.method().as_str(),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = request.method().as_str(),
        http.route = Empty,
        http.response.status_code = Empty,
        url.path = path,
        url.scheme = "http",
        "error.type" = Empty,
        steep.request.id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()),
    );
    if span.is_disabled() {
        return None;
    }
    if let Some((parent, state)) = sent(request.headers())
        && let Some(parent) = TraceContext::read(Some(&parent), state.as_deref())
    {
        parent.begins(&span);
    }
    if let Some(context) = TraceContext::of(&span) {
        name_in(request.headers_mut(), &context.traceparent(), context.tracestate().as_deref());
    }
    let route = Route::of(request);
    Some(Exported { span, route })
}

impl Exported {
    /// Notes how the request was answered. What is left of the body is sent later.
    pub(super) fn end(&self, method: &Method, response: &Response) {
        let status = response.status();
        self.span.record("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            self.span.record("error.type", status.as_str());
            self.span.record("otel.status_code", "ERROR");
        }
        if !self.route.template().is_empty() {
            self.span.record("http.route", self.route.template());
            telemetry::rename(&self.span, format!("{method} {}", self.route.template()));
        }
    }
}

fn name_in(headers: &mut HeaderMap, parent: &str, state: Option<&str>) {
    headers.remove(TRACESTATE);
    // Both are printable: they were made of headers and of numbers.
    if let Ok(parent) = HeaderValue::from_str(parent) {
        headers.insert(TRACEPARENT, parent);
    }
    if let Some(Ok(state)) = state.map(HeaderValue::from_str) {
        headers.insert(TRACESTATE, state);
    }
}

/// The W3C trace context of a request, if it is one (https://www.w3.org/TR/trace-context/, section 3.2), and what others have added to
/// it (section 3.3).
pub(super) fn sent(headers: &HeaderMap) -> Option<(String, Option<String>)> {
    let parent = headers.get(TRACEPARENT)?.to_str().ok()?;
    let lengths: Vec<usize> = parent.split('-').map(str::len).collect();
    let hexadecimal = parent.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    (lengths == [2, 32, 16, 2] && hexadecimal).then(|| (parent.to_owned(), state(headers)))
}

/// It may come in several headers. What is malformed or too long is none: it is never cut.
fn state(headers: &HeaderMap) -> Option<String> {
    let parts: Result<Vec<&str>, _> = headers.get_all(TRACESTATE).iter().map(HeaderValue::to_str).collect();
    let state = parts.ok()?.join(",");
    (1..=MAX_STATE_BYTES).contains(&state.len()).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(sent: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).expect("a value"))
        };
        sent.iter().map(header).collect()
    }

    #[test]
    fn what_others_add_to_a_trace_is_kept_whole_or_not_at_all() {
        let state = |states: &[&str]| {
            let mut all = vec![("traceparent", PARENT)];
            all.extend(states.iter().map(|state| ("tracestate", *state)));
            sent(&headers(&all)).expect("a context").1
        };
        assert_eq!(state(&[]), None);
        assert_eq!(state(&["a=1", "b=2,c=3"]).as_deref(), Some("a=1,b=2,c=3"));
        assert_eq!(state(&[""]), None);
        assert_eq!(state(&["é=1"]), None);
        assert_eq!(state(&[&"x".repeat(MAX_STATE_BYTES)]).map(|state| state.len()), Some(MAX_STATE_BYTES));
        assert_eq!(state(&[&"x".repeat(MAX_STATE_BYTES + 1)]), None);
        assert_eq!(sent(&headers(&[("tracestate", "a=1")])), None);
        assert_eq!(sent(&headers(&[("traceparent", "00-nonsense"), ("tracestate", "a=1")])), None);
    }

    #[test]
    fn a_request_that_is_not_exported_keeps_the_trace_of_its_client() {
        let mut request = Request::new(axum::body::Body::empty());
        *request.headers_mut() = headers(&[("traceparent", PARENT), ("tracestate", "a=1")]);
        assert!(begin(&mut request).is_none());
        assert_eq!(sent(request.headers()), Some((PARENT.to_owned(), Some("a=1".to_owned()))));
    }
}
