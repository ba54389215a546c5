//! Lists of which a part is sent at once, newest first, with the way to the rest.

use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::response::always_true;

/// A part of a list, before it is an answer.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) items: Vec<T>,
    /// What leads to the rest of this very list; none at its end.
    pub(crate) next_cursor: Option<String>,
}

/// A list in the envelope of every success, with the way to the rest of it beside `data`, which is the list itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listing<T> {
    #[schema(minimum = 200, maximum = 200)]
    status_code: u16,
    data: Vec<T>,
    message: &'static str,
    #[schema(schema_with = always_true)]
    success: bool,
    /// What to ask for as `cursor`, with the same filters, to get more; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

impl<T> Part<T> {
    pub(crate) fn new(items: Vec<T>, next_cursor: Option<String>) -> Self {
        Self { items, next_cursor }
    }

    /// As an answer.
    pub(crate) fn listed(self, message: &'static str) -> Listing<T> {
        let Self { items, next_cursor } = self;
        Listing { status_code: 200, data: items, message, success: true, next_cursor }
    }
}

impl<T: Serialize> IntoResponse for Listing<T> {
    fn into_response(self) -> Response {
        axum::Json(self).into_response()
    }
}
