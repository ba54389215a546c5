//! Spans as they are told to other processes, and to later times: W3C Trace Context.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::context::{FutureExt, WithContext};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// A span of any process.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceContext(SpanContext);

impl TraceContext {
    /// Of the span that is under way here. `None`: there is none, or spans are not exported.
    pub fn current() -> Option<Self> {
        Self::of_valid(Context::current().span().span_context())
    }

    /// Of a span, which cannot be given another parent from here on. `None`: it is not exported.
    pub fn of(span: &Span) -> Option<Self> {
        if span.is_disabled() { None } else { Self::of_valid(span.context().span().span_context()) }
    }

    fn of_valid(context: &SpanContext) -> Option<Self> {
        context.is_valid().then(|| Self(context.clone()))
    }

    /// As it stands in headers. What is malformed is none, and what is malformed of `tracestate` is left out.
    pub fn read(traceparent: Option<&str>, tracestate: Option<&str>) -> Option<Self> {
        let mut headers = HashMap::from([("traceparent".to_owned(), traceparent?.to_owned())]);
        headers.extend(tracestate.map(|state| ("tracestate".to_owned(), state.to_owned())));
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
        Self::of_valid(context.span().span_context())
    }

    /// The header of that name.
    pub fn traceparent(&self) -> String {
        let flags = if self.0.is_sampled() { "01" } else { "00" };
        format!("00-{}-{}-{flags}", self.0.trace_id(), self.0.span_id())
    }

    /// The header of that name, if it says anything.
    pub fn tracestate(&self) -> Option<String> {
        Some(self.0.trace_state().header()).filter(|state| !state.is_empty())
    }

    /// The id of its trace and its own, as they stand in headers.
    pub fn ids(&self) -> (String, String) {
        (self.0.trace_id().to_string(), self.0.span_id().to_string())
    }

    pub fn is_of_the_trace_of(&self, other: &Self) -> bool {
        self.0.trace_id() == other.0.trace_id()
    }

    /// Makes a span that nobody has entered yet a child of this one.
    pub fn begins(&self, span: &Span) {
        // Fails for a span that is not exported.
        let _ = span.set_parent(self.context());
    }

    /// What begins in a future is a child of this span, unless it has another parent.
    pub fn around<F: Future>(self, future: F) -> WithContext<F> {
        future.with_context(self.context())
    }

    fn context(&self) -> Context {
        Context::new().with_remote_span_context(self.0.clone())
    }
}

/// Makes a span that nobody has entered yet the root of a trace, with links to others.
pub fn begin_trace(span: &Span, links: impl IntoIterator<Item = TraceContext>) {
    // Fails for a span that is not exported.
    let _ = span.set_parent(Context::new());
    for link in links {
        span.add_link(link.0);
    }
}

/// Gives a span that has begun another name.
pub fn rename(span: &Span, name: String) {
    if !span.is_disabled() {
        span.context().span().update_name(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_is_written_as_it_was_read() {
        let read = TraceContext::read(Some(PARENT), Some("vendor=1,other=2")).expect("a context");
        assert_eq!((read.traceparent().as_str(), read.tracestate().as_deref()), (PARENT, Some("vendor=1,other=2")));
        let unsampled = PARENT.replace("-01", "-00");
        let read = TraceContext::read(Some(&unsampled), Some("")).expect("a context");
        assert_eq!((read.traceparent(), read.tracestate()), (unsampled, None));
        let without_state = TraceContext::read(Some(PARENT), Some("NO STATE")).expect("a context");
        assert_eq!((without_state.traceparent().as_str(), without_state.tracestate()), (PARENT, None));
    }

    #[test]
    fn what_is_malformed_is_no_context() {
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        for text in [None, Some(""), Some("00-trace"), Some(zero)] {
            assert_eq!(TraceContext::read(text, Some("vendor=1")), None, "{text:?}");
        }
        assert_eq!(TraceContext::current(), None);
        assert_eq!(TraceContext::of(&Span::none()), None);
    }
}
