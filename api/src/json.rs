//! Small bodies: JSON, or a form as Express reads it too.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::{Problem, ProblemKind};

/// The longest body that is not an upload, as with Express.
const MAX_BYTES: usize = 100 * 1024;
/// How long a client may take to send it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A body that says what `T` says. Unknown fields are ignored; no body at all is an object without fields.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let collected = tokio::time::timeout(TIMEOUT, Limited::new(body, MAX_BYTES).collect()).await;
        let bytes = match collected {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let detail = format!("the body must not be longer than {MAX_BYTES} bytes");
                return Err(Problem::new(ProblemKind::TooLarge, detail));
            }
            Ok(Err(error)) => {
                return Err(Problem::new(ProblemKind::Malformed, "the body was cut off before its end").because(error));
            }
            Err(_) => return Err(Problem::new(ProblemKind::RequestTimeout, "the body came too slowly")),
        };
        if bytes.is_empty() {
            return parse(b"{}");
        }
        match essence(&parts.headers) {
            "application/json" => parse(&bytes),
            "application/x-www-form-urlencoded" => parse(&form(&bytes)),
            _ => Err(Problem::new(ProblemKind::UnsupportedType, "send this as application/json")),
        }
    }
}

/// The content type without its parameters.
fn essence(headers: &HeaderMap) -> &str {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim()
}

fn form(bytes: &[u8]) -> Vec<u8> {
    let fields = url::form_urlencoded::parse(bytes);
    let object: serde_json::Map<String, Value> =
        fields.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect();
    // Strings always serialise.
    serde_json::to_vec(&object).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Json<T>, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let reason = error.to_string();
        // The position means nothing to somebody who filled in a form.
        let reason = reason.split(" at line ").next().unwrap_or_default().to_owned();
        match error.classify() {
            serde_json::error::Category::Data if path == "." => {
                Problem::new(ProblemKind::Invalid, format!("the body must be a JSON object: {reason}"))
            }
            serde_json::error::Category::Data => Problem::invalid(path, format!("is not of the right type: {reason}")),
            _ => Problem::new(ProblemKind::Malformed, "the body is not JSON").because(error),
        }
    })?;
    reader.end().map_err(|error| {
        Problem::new(ProblemKind::Malformed, "something follows the JSON in the body").because(error)
    })?;
    Ok(Json(value))
}
