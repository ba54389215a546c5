//! Requests that are not granted, as Cloudinary words them.

use std::io;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;
use time::OffsetDateTime;

/// The header that repeats an error's text.
pub(crate) const X_CLD_ERROR: &str = "x-cld-error";

/// Why a request is not granted, or how a fault ends it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// An error with Cloudinary's JSON body.
    Api(StatusCode, String),
    /// The body is larger than the servers in front of Cloudinary let through: their page, not JSON.
    TooLarge,
    /// The connection is closed without an answer.
    Abort,
    /// A fault's answer.
    Injected(Box<Response>),
    /// Our disk failed; answered as `General Error`.
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

/// An error in Cloudinary's shape, its text in the body and in a header.
pub(crate) fn api_error(status: StatusCode, message: &str) -> Response {
    let mut response = (status, Json(json!({ "error": { "message": message } }))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    // A header holds one line and clients bound its length; the body has the whole text.
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

/// A time as Cloudinary writes it in texts: `2024-04-11 13:23:38`.
pub(crate) fn clock(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let (hour, minute, second) = time.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02}", time.date())
}

/// Marks a response that must not be sent: the connection is closed in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aborted;

/// A response that stands for closing the connection.
pub(crate) fn aborted() -> Response {
    let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
    response.extensions_mut().insert(Aborted);
    response
}
