//! The span of an attempt, and of what settles its delivery, by OpenTelemetry's conventions for messaging.
//!
//! A job's first attempt continues the trace of the request that submitted it. What comes later comes when that trace has long been
//! judged: every further attempt begins one of its own, with links to where the job came from.

use broker::{Delivery, Disposition};
use messages::topology::JOBS_EXCHANGE;
use messages::{Envelope, Job};
use program::telemetry::{TraceContext, begin_trace};
use store::Claimed;
use tracing::Span;
use tracing::field::Empty;

use crate::context::Context;

/// The span of an attempt, by the message that led to it.
pub(super) fn process(context: &Context, envelope: &Envelope, claimed: &Claimed, redelivered: bool) -> Span {
    let job = &claimed.job;
    let span = tracing::debug_span!(
        target: "otel",
        "process",
        otel.name = format!("process {JOBS_EXCHANGE}:{}", template(&job.queue)),
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.system = "rabbitmq",
        messaging.operation.name = "process",
        "messaging.operation.type" = "process",
        messaging.destination.name = format!("{JOBS_EXCHANGE}:{}", job.queue),
        messaging.destination.template = format!("{JOBS_EXCHANGE}:{}", template(&job.queue)),
        messaging.rabbitmq.destination.routing_key = job.queue,
        messaging.message.id = %envelope.message_id,
        messaging.message.conversation_id = %job.id,
        messaging.client.id = context.worker,
        steep.job.id = %job.id,
        steep.job.kind = job.kind,
        steep.job.attempt = i64::from(claimed.attempt),
        steep.job.outcome = Empty,
        steep.asset.id = job.asset.map(|asset| asset.to_string()),
        steep.request.id = job.request_id,
        steep.error_class = Empty,
        "error.type" = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    let message = TraceContext::read(envelope.traceparent.as_deref(), envelope.tracestate.as_deref());
    let origin = TraceContext::read(job.traceparent.as_deref(), job.tracestate.as_deref());
    match trace(claimed.attempt, redelivered, message, origin) {
        Trace::Of(parent) => parent.begins(&span),
        Trace::Own { links } => begin_trace(&span, links),
    }
    span
}

/// Which trace an attempt is in.
#[derive(Debug, PartialEq)]
enum Trace {
    /// That of a span, under which it stands.
    Of(TraceContext),
    Own {
        links: Vec<TraceContext>,
    },
}

/// `message`: who published it. `origin`: who submitted the job.
///
/// A relay publishes in a trace of its own, which is linked to the origin already: the one attempt for which it did so is in there.
fn trace(attempt: u32, redelivered: bool, message: Option<TraceContext>, origin: Option<TraceContext>) -> Trace {
    let is_relayed = match (&message, &origin) {
        (Some(message), Some(origin)) => !message.is_of_the_trace_of(origin),
        _ => false,
    };
    match message {
        Some(message) if attempt <= 1 || (is_relayed && !redelivered) => Trace::Of(message),
        message => {
            let origin = origin.filter(|origin| message.as_ref() != Some(origin));
            Trace::Own { links: origin.into_iter().chain(message).collect() }
        }
    }
}

/// A queue without the spool that it is of.
fn template(queue: &str) -> String {
    let known = Job::QUEUES.iter().find(|(_, known)| known.has(queue));
    known.map_or_else(|| queue.to_owned(), |(_, known)| known.of_any())
}

/// Notes in the span of the attempt that is under way how it has ended.
pub(super) fn ended(outcome: &str, class: &str) {
    let span = Span::current();
    span.record("steep.job.outcome", outcome);
    if class != "none" {
        span.record("steep.error_class", class);
        span.record("error.type", outcome);
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of what settles a delivery.
pub(super) fn settle(delivery: &Delivery, disposition: &Disposition) -> Span {
    let operation = match disposition {
        Disposition::Ack | Disposition::DeadLetter { .. } => "ack",
        Disposition::Requeue => "nack",
    };
    tracing::trace_span!(
        target: "otel",
        "settle",
        otel.name = format!("{operation} {JOBS_EXCHANGE}:{}", template(&delivery.queue)),
        otel.kind = "client",
        messaging.system = "rabbitmq",
        messaging.operation.name = operation,
        "messaging.operation.type" = "settle",
        messaging.destination.name = format!("{JOBS_EXCHANGE}:{}", delivery.queue),
        messaging.message.id = delivery.message_id(),
        messaging.message.body.size = i64::try_from(delivery.body.len()).unwrap_or(i64::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(trace: char, span: char) -> TraceContext {
        let text = format!("00-{}-{}-01", trace.to_string().repeat(32), span.to_string().repeat(16));
        TraceContext::read(Some(&text), None).expect("a context")
    }

    #[test]
    fn the_first_attempt_is_in_the_trace_of_the_request_and_every_other_in_one_of_its_own() {
        let (request, published, relayed) = (context('a', '1'), context('a', '2'), context('b', '3'));
        let at = |attempt, redelivered, message: &TraceContext| {
            trace(attempt, redelivered, Some(message.clone()), Some(request.clone()))
        };
        let own = |links: &[&TraceContext]| Trace::Own { links: links.iter().copied().cloned().collect() };
        for redelivered in [false, true] {
            assert_eq!(at(1, redelivered, &published), Trace::Of(published.clone()));
            assert_eq!(at(1, redelivered, &relayed), Trace::Of(relayed.clone()));
            // The worker of the first attempt vanished, and the broker delivers the message again.
            assert_eq!(at(2, redelivered, &published), own(&[&request, &published]));
        }
        assert_eq!(at(2, false, &relayed), Trace::Of(relayed.clone()));
        assert_eq!(at(3, true, &relayed), own(&[&request, &relayed]));
        // Whoever published it exports nothing: the message names what the job does.
        assert_eq!(at(2, false, &request), own(&[&request]));
        assert_eq!(trace(2, false, None, None), own(&[]));
        assert_eq!(trace(1, false, None, Some(request.clone())), own(&[&request]));
    }

    #[test]
    fn the_name_of_a_span_has_no_spool_in_it() {
        assert_eq!(template("media.upload.node-1"), "media.upload.{spool}");
        assert_eq!(template("media.delete"), "media.delete");
        assert_eq!(template("of.a.newer.version"), "of.a.newer.version");
    }
}
