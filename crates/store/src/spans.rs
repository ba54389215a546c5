//! Spans of what the database is asked for a request or a job. Outside of those there are none: whoever runs a shared transaction
//! belongs to nobody, and each of those who share it has a span of its own, from the moment at which it begins to wait.

use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::Error;
use crate::connection::Connection;

/// A span of the level of those that are parts, which program::telemetry has more of.
pub(crate) fn of(connection: &Connection, name: &'static str) -> Span {
    tracing::trace_span!(
        target: "otel",
        "mongodb",
        otel.name = name,
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = "mongodb",
        db.namespace = connection.database().name(),
        db.operation.name = name,
        "error.type" = Empty,
    )
}

/// Does something in its span, and notes there how that went.
pub(crate) async fn watched<T>(span: Span, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let done = work.instrument(span.clone()).await;
    if let Err(error) = &done {
        let error = match error {
            Error::Unavailable(_) => "unavailable",
            Error::Unknown(_) => "unknown",
            Error::Fenced => "fenced",
            Error::Corrupt { .. } => "corrupt",
            _ => "refused",
        };
        span.record("error.type", error);
        span.record("otel.status_code", "ERROR");
    }
    done
}
