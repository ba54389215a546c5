//! Every failure that a client sees, in one shape.
//!
//! The body is a problem of RFC 9457 whose extension members are those of chai-backend's failure envelope. The cause is
//! for the log and never leaves the process.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::Arc;

use axum::Extension;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::response::{always_false, always_null};

macro_rules! problem_kinds {
    ($($kind:ident: $status:ident, $slug:literal, $title:literal;)+) => {
        /// What went wrong, by what a client can do about it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum ProblemKind {
            $($kind),+
        }

        impl ProblemKind {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),+];

            /// The status, the last part of the problem's `type`, and its title.
            pub(crate) const fn row(self) -> (StatusCode, &'static str, &'static str) {
                match self {
                    $(Self::$kind => (StatusCode::$status, $slug, $title)),+
                }
            }
        }
    };
}

// The slug is the last part of the problem's `type`, and permanent. The title is the same for every occurrence.
problem_kinds! {
    Malformed: BAD_REQUEST, "malformed", "The request is malformed";
    Unauthorized: UNAUTHORIZED, "unauthorized", "Sign in first";
    BadSignature: UNAUTHORIZED, "bad-signature", "The signature does not prove who sent this";
    Forbidden: FORBIDDEN, "forbidden", "Not for you";
    CrossOrigin: FORBIDDEN, "cross-origin", "Not from this page";
    NotFound: NOT_FOUND, "not-found", "There is nothing here";
    MethodNotAllowed: METHOD_NOT_ALLOWED, "method-not-allowed", "This method is not allowed here";
    RequestTimeout: REQUEST_TIMEOUT, "request-timeout", "The request took too long";
    Conflict: CONFLICT, "conflict", "Somebody else has it";
    JobEnded: CONFLICT, "job-ended", "The job has ended";
    NotPossible: CONFLICT, "not-possible", "It is not in a state for this";
    NotCancellable: CONFLICT, "not-cancellable", "It cannot be cancelled";
    TooLarge: PAYLOAD_TOO_LARGE, "too-large", "The request is too large";
    UnsupportedType: UNSUPPORTED_MEDIA_TYPE, "unsupported-type", "This type is not accepted";
    UnsupportedEncoding: UNSUPPORTED_MEDIA_TYPE, "unsupported-encoding", "This encoding is not accepted";
    RangeNotSatisfiable: RANGE_NOT_SATISFIABLE, "range-not-satisfiable", "The range lies outside the file";
    Invalid: UNPROCESSABLE_ENTITY, "invalid", "A field is missing or wrong";
    TooMany: TOO_MANY_REQUESTS, "too-many", "Too many of these for now";
    Internal: INTERNAL_SERVER_ERROR, "internal", "Something went wrong here";
    Unavailable: SERVICE_UNAVAILABLE, "unavailable", "Not possible at the moment";
    OutcomeUnknown: SERVICE_UNAVAILABLE, "outcome-unknown", "It may or may not have happened";
    StorageFull: INSUFFICIENT_STORAGE, "storage-full", "There is no room for uploads at the moment";
}

/// The `type` of a problem.
pub(crate) fn urn(slug: &str) -> String {
    format!("urn:steep:problem:{slug}")
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

impl FieldError {
    pub(crate) fn new(field: &'static str, message: &'static str) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// A failure on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<u32>,
    cause: Option<Cause>,
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

    /// A 422 for several fields, unless there are none.
    pub(crate) fn invalid_fields(errors: Vec<FieldError>) -> Result<(), Self> {
        if errors.is_empty() {
            return Ok(());
        }
        let sentences: Vec<String> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
        Err(Self { errors, ..Self::new(ProblemKind::Invalid, sentences.join("; ")) })
    }

    /// A 500 whose cause is logged and not told.
    pub(crate) fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ProblemKind::Internal, "something went wrong here; it is not your fault").because(cause)
    }

    /// Keeps the cause, for the log.
    #[must_use]
    pub(crate) fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(Cause(cause.into().into()));
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The sentence for people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
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
        let (status, slug, title) = self.kind.row();
        let body = Body {
            kind: urn(slug),
            title,
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
        let retry_after = self.retry_after.map(|seconds| [(header::RETRY_AFTER, seconds.to_string())]);
        let challenge = (self.kind == ProblemKind::Unauthorized).then_some([(header::WWW_AUTHENTICATE, "Bearer")]);
        let encodings =
            (self.kind == ProblemKind::UnsupportedEncoding).then_some([(header::ACCEPT_ENCODING, "identity")]);
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let cause = self.cause.map(Extension);
        (status, content_type, retry_after, challenge, encodings, cause, Extension(self.kind), body).into_response()
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        let (kind, detail) = match error {
            store::Error::Taken { field } => {
                return Self::field(ProblemKind::Conflict, field.as_str(), "is already taken");
            }
            store::Error::Unavailable(_) => {
                (ProblemKind::Unavailable, "the database does not answer; try again in a moment")
            }
            store::Error::Unknown(_) => (
                ProblemKind::OutcomeUnknown,
                "it is not known yet whether this was saved; look again in a moment before repeating it",
            ),
            // The user was found at the start of the request, so they were deleted in the middle of it.
            store::Error::NotFound { .. } => {
                return Self::new(ProblemKind::Unauthorized, "this account is no longer there").because(error);
            }
            error => return Self::internal(error),
        };
        Self::new(kind, detail).retry_after(5).because(error)
    }
}

impl From<spool::Error> for Problem {
    fn from(error: spool::Error) -> Self {
        match error {
            spool::Error::Full => Self::new(ProblemKind::StorageFull, "there is no room for uploads at the moment")
                .retry_after(60)
                .because(error),
            spool::Error::ReadOnly => Self::new(ProblemKind::Unavailable, "uploads cannot be stored at the moment")
                .retry_after(60)
                .because(error),
            error => Self::internal(error),
        }
    }
}
