//! Small bodies: JSON, or a form, as Express reads both.
//!
//! Not axum's `Json`: it has no time limit, reads no forms, and its rejections repeat values, which may be passwords.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serializer;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::http::content_coding::refuse_coded;
use crate::http::problem::{Problem, ProblemKind};

/// The longest body that is not an upload, as with Express.
const MAX_BYTES: usize = 100 * 1024;
/// How long a client may take to send it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A body with the fields of `T`. Unknown fields are ignored; an empty body is an object without fields.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read_whole(&parts.headers, body, MAX_BYTES).await?;
        if bytes.is_empty() {
            return parse(b"{}");
        }
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let without_parameters = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
        match without_parameters.to_ascii_lowercase().as_str() {
            "application/json" => parse(&bytes),
            "application/x-www-form-urlencoded" => parse(&form(&bytes)),
            _ => Err(Problem::new(ProblemKind::UnsupportedType, "send this as application/json")),
        }
    }
}

/// A body as it was sent, of at most so many bytes.
pub(crate) async fn read_whole(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Bytes, Problem> {
    let too_long =
        || Problem::new(ProblemKind::TooLarge, format!("the body must not be longer than {max_bytes} bytes"));
    refuse_coded(headers)?;
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(too_long());
    }
    match tokio::time::timeout(TIMEOUT, Limited::new(body, max_bytes).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(error)) => {
            Err(Problem::new(ProblemKind::Malformed, "the body was cut off before its end").because(error))
        }
        Err(_) => Err(Problem::new(ProblemKind::RequestTimeout, "the body came too slowly")),
    }
}

/// A form as JSON. A field that was sent twice is there twice, and refused if `T` has it.
fn form(bytes: &[u8]) -> Vec<u8> {
    let mut json = Vec::new();
    // Strings always serialise.
    let _ = serde_json::Serializer::new(&mut json).collect_map(url::form_urlencoded::parse(bytes));
    json
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Json<T>, Problem> {
    // serde would read a list as the fields in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => Problem::new(ProblemKind::Invalid, "the body must be a JSON object"),
            Err(error) => not_json(error),
        });
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match error.classify() {
            Category::Data => wrong_field(path, &error.to_string()),
            _ => not_json(error),
        }
    })?;
    reader.end().map_err(|error| {
        Problem::new(ProblemKind::Malformed, "something follows the JSON in the body").because(error)
    })?;
    Ok(Json(value))
}

fn not_json(error: serde_json::Error) -> Problem {
    Problem::new(ProblemKind::Malformed, "the body is not JSON").because(error)
}

/// Says what was expected, and not what came instead: that may be a password.
fn wrong_field(path: String, text: &str) -> Problem {
    for (prefix, message) in [("duplicate field `", "was sent twice"), ("missing field `", "is required")] {
        if let Some(field) = text.strip_prefix(prefix).and_then(|rest| rest.split('`').next()) {
            return Problem::invalid(field.to_owned(), message);
        }
    }
    let expected = text.rsplit_once("expected ").and_then(|(_, expected)| expected.split(" at line ").next());
    match expected {
        Some(expected) => Problem::invalid(path, format!("must be {expected}")),
        None => Problem::invalid(path, "is not of the right type"),
    }
}
