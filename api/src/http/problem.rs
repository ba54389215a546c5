//! Every failure that a client sees, in one shape.
//!
//! The body is a problem of RFC 9457 whose extension members are those of chai-backend's failure envelope. The cause is
//! for the log and never leaves the process.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::response::{always_false, always_null};

/// What went wrong, by what a client can do about it: see the titles in `row`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    Malformed,
    Unauthorized,
    CrossOrigin,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    TooLarge,
    UnsupportedType,
    RangeNotSatisfiable,
    Invalid,
    TooMany,
    Internal,
    Unavailable,
    OutcomeUnknown,
    StorageFull,
}

impl ProblemKind {
    pub(crate) const fn status(self) -> StatusCode {
        self.row().0
    }

    /// The last part of the problem's `type`. Permanent.
    pub(crate) const fn slug(self) -> &'static str {
        self.row().1
    }

    /// The problem's `type`.
    pub(crate) fn urn(self) -> String {
        format!("urn:steep:problem:{}", self.slug())
    }

    /// The problem's `title`, the same for every occurrence.
    pub(crate) const fn title(self) -> &'static str {
        self.row().2
    }

    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed", "The request is malformed"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "Sign in first"),
            Self::CrossOrigin => (StatusCode::FORBIDDEN, "cross-origin", "Not from this page"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing here"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This method is not allowed here")
            }
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request took too long"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Somebody else has it"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large"),
            Self::UnsupportedType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-type", "This type is not accepted")
            }
            Self::RangeNotSatisfiable => {
                (StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable", "The range lies outside the file")
            }
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A field is missing or wrong"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many", "Too many of these for now"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not possible at the moment"),
            Self::OutcomeUnknown => {
                (StatusCode::SERVICE_UNAVAILABLE, "outcome-unknown", "It may or may not have happened")
            }
            Self::StorageFull => {
                (StatusCode::INSUFFICIENT_STORAGE, "storage-full", "There is no room for uploads at the moment")
            }
        }
    }
}

/// One field that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// The field's name as the client sends it.
    #[schema(value_type = String, example = "email")]
    pub(crate) field: Cow<'static, str>,
    /// What is wrong with it.
    #[schema(value_type = String, example = "is already taken")]
    pub(crate) message: Cow<'static, str>,
}

/// A failure on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<u32>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Problem {
    /// A failure with a sentence for the person in front of the client.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), retry_after: None, cause: None }
    }

    /// A failure that one field caused. The sentence is "`<field>` `<message>`".
    pub(crate) fn field(
        kind: ProblemKind,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (field, message) = (field.into(), message.into());
        let detail = format!("{field} {message}");
        Self { errors: vec![FieldError { field, message }], ..Self::new(kind, detail) }
    }

    pub(crate) fn invalid(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::field(ProblemKind::Invalid, field, message)
    }

    /// A 422 for several fields; `None` if there are none.
    pub(crate) fn invalid_fields(errors: Vec<FieldError>) -> Option<Self> {
        let sentences: Vec<String> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
        match errors.is_empty() {
            true => None,
            false => Some(Self { errors, ..Self::new(ProblemKind::Invalid, sentences.join("; ")) }),
        }
    }

    /// A 500 whose cause is logged and not told.
    pub(crate) fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ProblemKind::Internal, "something went wrong here; it is not your fault").because(cause)
    }

    /// Keeps the cause, for the log.
    #[must_use]
    pub(crate) fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub(crate) fn kind(&self) -> ProblemKind {
        self.kind
    }
}

/// The cause of a failure, in the response's extensions, for the request's line in the log.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub(crate) Arc<dyn StdError + Send + Sync>);

/// The body of every failure: a problem of RFC 9457 and the envelope of a failure at once.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Body<'a> {
    /// What went wrong, for programs. Permanent.
    #[serde(rename = "type")]
    #[schema(pattern = "^urn:steep:problem:[a-z-]+$", example = "urn:steep:problem:conflict")]
    kind: String,
    /// The same for every occurrence of the type.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// A sentence for people about this occurrence.
    detail: &'a str,
    /// The HTTP status once more.
    #[schema(minimum = 400, maximum = 599)]
    status_code: u16,
    #[schema(schema_with = always_null)]
    data: (),
    #[schema(schema_with = always_false)]
    success: bool,
    /// The same sentence as in `detail`.
    message: &'a str,
    /// The same sentence as in `detail`.
    error: &'a str,
    /// The fields that are missing or wrong; none if that is not the matter.
    errors: &'a [FieldError],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let body = Body {
            kind: self.kind.urn(),
            title: self.kind.title(),
            status: status.as_u16(),
            detail: &self.detail,
            status_code: status.as_u16(),
            data: (),
            success: false,
            message: &self.detail,
            error: &self.detail,
            errors: &self.errors,
        };
        // Strings and numbers always serialise.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.kind == ProblemKind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(Cause(cause.into()));
        }
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Taken { field } => {
                let field = match field {
                    store::Field::Username => "username",
                    store::Field::Email => "email",
                };
                Self::field(ProblemKind::Conflict, field, "is already taken")
            }
            store::Error::Unavailable { .. } => {
                Self::new(ProblemKind::Unavailable, "the database does not answer; try again in a moment")
                    .retry_after(5)
                    .because(error)
            }
            store::Error::Unknown { .. } => {
                let detail = "it is not known yet whether this was saved; look again in a moment before repeating it";
                Self::new(ProblemKind::OutcomeUnknown, detail).retry_after(5).because(error)
            }
            // The user was found at the start of the request, so they were deleted in the middle of it.
            store::Error::NotFound { .. } => {
                Self::new(ProblemKind::Unauthorized, "this account is no longer there").because(error)
            }
            error => Self::internal(error),
        }
    }
}

impl From<spool::Error> for Problem {
    fn from(error: spool::Error) -> Self {
        match error {
            spool::Error::Full => Self::new(ProblemKind::StorageFull, "there is no room for uploads at the moment")
                .retry_after(60)
                .because(error),
            error => Self::internal(error),
        }
    }
}
