//! What joins a job to the request that submitted it.

/// Carried with a job for whoever reads logs and traces. Nothing else depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The request's `X-Request-Id`.
    pub request_id: Option<String>,
    /// The request's W3C trace context.
    pub traceparent: Option<String>,
    /// What others have added to that context. Nothing without one.
    pub tracestate: Option<String>,
}

impl Trace {
    /// What is known of a request, if anything is.
    pub fn of(request_id: Option<String>, traceparent: Option<String>) -> Option<Self> {
        let known = request_id.is_some() || traceparent.is_some();
        known.then_some(Self { request_id, traceparent, tracestate: None })
    }

    /// The same with what others have added to its context, if it has one.
    pub fn with_tracestate(self, tracestate: Option<String>) -> Self {
        let tracestate = tracestate.filter(|_| self.traceparent.is_some());
        Self { tracestate, ..self }
    }
}
