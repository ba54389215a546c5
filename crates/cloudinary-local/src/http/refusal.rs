//! Refusals, in Cloudinary's words.

use std::io;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;
use time::OffsetDateTime;

pub(crate) const X_CLD_ERROR: &str = "x-cld-error";

/// Why a request is refused, or how a fault ends it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// An error with Cloudinary's JSON body.
    Api(StatusCode, String),
    /// The body is too large for the servers in front of Cloudinary. They answer with a page, not with JSON.
    TooLarge,
    /// Closes the connection without an answer.
    Abort,
    /// A fault's answer.
    Injected(Box<Response>),
    /// The disk failed. Answered as `General Error`.
    Io(io::Error),
}

impl Refusal {
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::Api(StatusCode::BAD_REQUEST, message.into())
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::Api(StatusCode::UNAUTHORIZED, message.into())
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::bad_request(format!("Missing required parameter - {parameter}"))
    }

    pub(crate) fn not_found(public_id: &str) -> Self {
        Self::Api(StatusCode::NOT_FOUND, format!("Resource not found - {public_id}"))
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Api(status, message) => api_error(status, &message),
            Self::TooLarge => {
                let page = "<html><head><title>413 Request Entity Too Large</title></head>\
                            <body><h1>413 Request Entity Too Large</h1></body></html>";
                (StatusCode::PAYLOAD_TOO_LARGE, Html(page)).into_response()
            }
            Self::Abort => aborted(),
            Self::Injected(response) => *response,
            Self::Io(error) => {
                tracing::error!(%error, "cannot read or write the data folder");
                api_error(StatusCode::INTERNAL_SERVER_ERROR, "General Error")
            }
        }
    }
}

/// An error as Cloudinary answers it: its text stands in the body and in a header.
pub(crate) fn api_error(status: StatusCode, message: &str) -> Response {
    let mut response = (status, Json(json!({ "error": { "message": message } }))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    // A header holds one line, and clients bound its length. The body has the whole text.
    let line: String = message.chars().take(1000).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Ok(value) = HeaderValue::from_bytes(line.as_bytes()) {
        headers.insert(X_CLD_ERROR, value);
    }
    response
}

/// The answer to a request whose timestamp is too old.
pub(crate) fn stale(reported: OffsetDateTime) -> Refusal {
    Refusal::bad_request(format!(
        "Stale request - reported time is {} +0000 which is more than 1 hour ago",
        clock(reported)
    ))
}

/// `2024-04-11 13:23:38`, as error texts write times.
pub(crate) fn clock(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let (hour, minute, second) = time.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02}", time.date())
}

/// Marks a response that must not be sent. The connection is closed instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aborted;

pub(crate) fn aborted() -> Response {
    let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
    response.extensions_mut().insert(Aborted);
    response
}
