//! Spans of requests. Nothing is in them that is signed, secret, or of one asset.

use reqwest::StatusCode;
use tracing::Span;
use tracing::field::Empty;

use crate::config::Config;
use crate::request::{Operation, unread};

/// The method of an operation, and its address without what is of one account or one asset.
const fn route(operation: Operation) -> (&'static str, &'static str) {
    match operation {
        Operation::Upload | Operation::Chunk => ("POST", "/v1_1/{cloud}/{type}/upload"),
        Operation::Deletion => ("POST", "/v1_1/{cloud}/{type}/destroy"),
        Operation::LookUp => ("GET", "/v1_1/{cloud}/resources/{type}/upload/{id}"),
    }
}

/// A span of the level of those that are parts, which program::telemetry has more of.
pub(crate) fn of(config: &Config, operation: Operation) -> Span {
    let (method, template) = route(operation);
    tracing::trace_span!(
        target: "otel",
        "cloudinary",
        otel.name = format!("{method} {template}"),
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = method,
        http.response.status_code = Empty,
        server.address = config.upload_prefix.host_str(),
        server.port = config.upload_prefix.port_or_known_default().map(i64::from),
        url.template = template,
        steep.media_host.action = operation.action(),
        "error.type" = Empty,
    )
}

/// Notes what came of a request.
pub(crate) fn note(span: &Span, status: Result<StatusCode, &reqwest::Error>) {
    let error = match status {
        Ok(status) => {
            span.record("http.response.status_code", i64::from(status.as_u16()));
            if status.is_success() {
                return;
            }
            status.as_str().to_owned()
        }
        Err(error) if unread(error).is_some() => "file".to_owned(),
        Err(error) if error.is_timeout() => "timeout".to_owned(),
        Err(error) if error.is_connect() => "connect".to_owned(),
        Err(_) => "transport".to_owned(),
    };
    span.record("error.type", error);
    span.record("otel.status_code", "ERROR");
}
