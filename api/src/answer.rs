//! Success, in the shape that front ends of the original read.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::problem::Problem;

/// `{"statusCode", "data", "message", "success": true}`, with the HTTP status equal to `statusCode`.
#[derive(Debug)]
pub struct Answer<T> {
    status: StatusCode,
    data: T,
    message: Cow<'static, str>,
    location: Option<String>,
}

/// The `data` of an answer that has none: `{}`, as in the original.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a, T> {
    status_code: u16,
    data: &'a T,
    message: &'a str,
    success: bool,
}

impl<T: Serialize> Answer<T> {
    /// 200.
    pub fn ok(data: T, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::OK, data, message: message.into(), location: None }
    }

    /// 201: it exists from now on.
    pub fn created(data: T, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(data, message) }
    }

    /// 202: it is durable, and the slow part of it follows.
    pub fn accepted(data: T, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::ACCEPTED, ..Self::ok(data, message) }
    }

    /// Names what the request made in the `Location` header.
    #[must_use]
    pub fn located(mut self, location: impl Into<Option<String>>) -> Self {
        self.location = location.into();
        self
    }

    /// What a repetition of the request is to be answered with.
    pub(crate) fn stored(&self) -> store::StoredAnswer {
        store::StoredAnswer { status: self.status.as_u16(), location: self.location.clone(), body: self.body() }
    }

    fn body(&self) -> String {
        let body = Body { status_code: self.status.as_u16(), data: &self.data, message: &self.message, success: true };
        // The views are structs of strings, numbers and lists: they always serialise.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        json(self.status, self.location.as_deref(), self.body())
    }
}

/// The first answer to an idempotency key, once more.
pub(crate) fn replay(answer: store::StoredAnswer) -> Response {
    let Ok(status) = StatusCode::from_u16(answer.status) else {
        return Problem::internal(format!("a stored answer has the status {}", answer.status)).into_response();
    };
    let mut response = json(status, answer.location.as_deref(), answer.body);
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

fn json(status: StatusCode, location: Option<&str>, body: String) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(location) = location.and_then(|location| HeaderValue::from_str(location).ok()) {
        headers.insert(header::LOCATION, location);
    }
    response
}
