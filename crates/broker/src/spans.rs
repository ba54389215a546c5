//! Spans of what is published, by OpenTelemetry's conventions for messaging.

use std::borrow::Cow;

use messages::topology::{EVENTS_EXCHANGE, JOBS_EXCHANGE};
use messages::{Envelope, EventMessage, Job};
use program::telemetry::{TraceContext, begin_trace};
use serde_json::Value;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::Error;

/// The span of a job's message, in the trace that the envelope names.
pub(crate) fn continuing(envelope: &Envelope) -> Span {
    let span = of_job(envelope);
    if !span.is_disabled()
        && let Some(parent) = named(envelope)
    {
        parent.begins(&span);
    }
    span
}

/// The same in a trace of its own. It is linked to the one that the envelope names, if not to the one in which it is called.
pub(crate) fn beginning(envelope: &Envelope) -> Span {
    let span = of_job(envelope);
    if !span.is_disabled() {
        begin_trace(&span, named(envelope).or_else(TraceContext::current));
    }
    span
}

fn named(envelope: &Envelope) -> Option<TraceContext> {
    TraceContext::read(envelope.traceparent.as_deref(), envelope.tracestate.as_deref())
}

/// What is sent: whoever receives it continues at the span, if that is exported.
pub(crate) fn carried<'envelope>(span: &Span, envelope: &'envelope Envelope) -> Cow<'envelope, Envelope> {
    let Some(context) = TraceContext::of(span) else { return Cow::Borrowed(envelope) };
    let (traceparent, tracestate) = (Some(context.traceparent()), context.tracestate());
    Cow::Owned(Envelope { traceparent, tracestate, ..envelope.clone() })
}

fn of_job(envelope: &Envelope) -> Span {
    let kind = envelope.job.kind();
    tracing::debug_span!(
        target: "otel",
        "publish",
        otel.name = format!("publish {JOBS_EXCHANGE}:{}", template(kind)),
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = "rabbitmq",
        messaging.operation.name = "publish",
        "messaging.operation.type" = "send",
        messaging.destination.name = format!("{JOBS_EXCHANGE}:{}", envelope.job.queue()),
        messaging.destination.template = format!("{JOBS_EXCHANGE}:{}", template(kind)),
        messaging.rabbitmq.destination.routing_key = envelope.job.queue(),
        messaging.message.id = %envelope.message_id,
        messaging.message.conversation_id = %envelope.job_id,
        messaging.message.body.size = Empty,
        steep.job.id = %envelope.job_id,
        steep.job.kind = kind,
        steep.asset.id = text_in(&envelope.job.data(), "asset"),
        "error.type" = Empty,
    )
}

/// The queue of a kind, whichever spool it is of.
fn template(kind: &str) -> String {
    let queue = Job::QUEUES.iter().find(|(known, _)| *known == kind);
    queue.map(|(_, queue)| queue.of_any()).unwrap_or_default()
}

pub(crate) fn of_event(message: &EventMessage) -> Span {
    let kind = message.event.kind();
    tracing::debug_span!(
        target: "otel",
        "publish",
        otel.name = format!("publish {EVENTS_EXCHANGE}:{kind}"),
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = "rabbitmq",
        messaging.operation.name = "publish",
        "messaging.operation.type" = "send",
        messaging.destination.name = format!("{EVENTS_EXCHANGE}:{kind}"),
        messaging.rabbitmq.destination.routing_key = kind,
        messaging.message.id = %message.id,
        messaging.message.conversation_id = text_in(&message.event.data(), "job"),
        messaging.message.body.size = Empty,
        steep.job.id = text_in(&message.event.data(), "job"),
        steep.asset.id = text_in(&message.event.data(), "asset"),
        "error.type" = Empty,
    )
}

fn text_in(data: &Value, name: &str) -> Option<String> {
    data.get(name)?.as_str().map(str::to_owned)
}

/// Sends a message in its span, and notes there how that went.
pub(crate) async fn watched(
    span: Span,
    body: &[u8],
    sending: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    span.record("messaging.message.body.size", i64::try_from(body.len()).unwrap_or(i64::MAX));
    let sent = sending.instrument(span.clone()).await;
    if let Err(error) = &sent {
        let error = match error {
            Error::Nacked(_) => "nacked",
            Error::Returned { .. } => "returned",
            Error::Unknown(_) => "unknown",
            _ => "unavailable",
        };
        span.record("error.type", error);
        span.record("otel.status_code", "ERROR");
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_span_has_no_id_in_it() {
        let templates: Vec<String> = Job::KINDS.iter().map(|kind| template(kind)).collect();
        assert!(templates.contains(&"media.upload.{spool}".to_owned()), "{templates:?}");
        assert!(templates.contains(&"media.delete".to_owned()), "{templates:?}");
        assert!(templates.iter().all(|template| !template.is_empty()), "{templates:?}");
    }
}
