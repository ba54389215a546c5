//! Every success, in chai-backend's envelope.

use std::borrow::Cow;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Object;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::problem::Problem;

/// A success on its way to the client.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    status: StatusCode,
    envelope: Envelope<T>,
    location: Option<String>,
}

/// The `data` of an answer that has none: `{}`, as in chai-backend.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Nothing {}

/// The body of every success.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Envelope<T> {
    /// The HTTP status.
    #[schema(minimum = 200, maximum = 299)]
    status_code: u16,
    data: T,
    /// A sentence for people.
    message: Cow<'static, str>,
    #[schema(schema_with = always_true)]
    success: bool,
}

impl<T: Serialize> Answer<T> {
    pub(crate) fn new(status: StatusCode, data: T, message: impl Into<Cow<'static, str>>) -> Self {
        let envelope = Envelope { status_code: status.as_u16(), data, message: message.into(), success: true };
        Self { status, envelope, location: None }
    }

    pub(crate) fn ok(data: T, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::OK, data, message)
    }

    #[must_use]
    pub(crate) fn located(mut self, location: Option<String>) -> Self {
        self.location = location;
        self
    }

    /// The answer to a repetition of the request.
    pub(crate) fn stored(&self) -> store::StoredAnswer {
        store::StoredAnswer { status: self.status.as_u16(), location: self.location.clone(), body: self.body() }
    }

    fn body(&self) -> String {
        // The views are structs of strings, numbers and lists: they always serialise.
        serde_json::to_string(&self.envelope).unwrap_or_default()
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let body = self.body();
        json(self.status, self.location, body)
    }
}

/// Repeats the first answer to an idempotency key.
pub(crate) fn replay(answer: store::StoredAnswer) -> Response {
    let Ok(status) = StatusCode::from_u16(answer.status) else {
        return Problem::internal(format!("a stored answer has the status {}", answer.status)).into_response();
    };
    ([("idempotent-replayed", "true")], json(status, answer.location, answer.body)).into_response()
}

fn json(status: StatusCode, location: Option<String>, body: String) -> Response {
    let location = location.map(|location| [(header::LOCATION, location)]);
    (status, [(header::CONTENT_TYPE, "application/json")], location, body).into_response()
}

// Times as JavaScript writes them: with milliseconds, and in UTC, as the database gives them.
time::serde::format_description!(
    pub(crate) iso,
    OffsetDateTime,
    "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
);

pub(crate) fn always_true() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).build()
}

pub(crate) fn always_false() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([false])).build()
}

pub(crate) fn always_null() -> Object {
    ObjectBuilder::new().schema_type(Type::Null).build()
}
