//! The body of an upload request, from the first byte to the last.

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};

use super::Pace;
use super::body_stream::{BodyStream, HeadBudget};
use super::form::{FileField, Form};
use crate::http::problem::{Problem, ProblemKind};

/// What an upload may be longer than the files in it: text fields, and the heads and boundaries of all parts.
const OVERHEAD_BYTES: u64 = 1024 * 1024;

/// A request whose body has not been read. Handlers check everything that the head tells before they read on; a client
/// that sent `Expect: 100-continue` sends no body until then.
#[derive(Debug)]
pub(crate) struct Incoming {
    headers: HeaderMap,
    body: Body,
}

impl<S: Send + Sync> FromRequest<S> for Incoming {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        Ok(Self { headers: parts.headers, body })
    }
}

impl Incoming {
    /// The request's headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body's length, if the client declared one.
    pub(crate) fn declared_length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Begins to read the form. Refuses what its head already shows to be no form or too long.
    pub(crate) fn form<'a>(&'a mut self, files: &'a [FileField], pace: Pace) -> Result<Form<'a>, Problem> {
        let boundary = boundary(&self.headers)?;
        let limit = files.iter().fold(OVERHEAD_BYTES, |limit, file| limit.saturating_add(file.max_bytes));
        let length = self.declared_length();
        if let Some(length) = length.filter(|length| *length > limit) {
            return Err(too_long(files, length, limit));
        }
        let head = HeadBudget::new();
        let flow = BodyStream::new(&mut self.body, pace, limit, head.clone());
        Ok(Form::new(flow, boundary, head, files, length))
    }
}

fn boundary(headers: &HeaderMap) -> Result<String, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    multer::parse_boundary(content_type).map_err(|error| match error {
        multer::Error::NoBoundary => {
            Problem::new(ProblemKind::Malformed, "the content type multipart/form-data has no boundary")
        }
        _ => Problem::new(ProblemKind::UnsupportedType, "send this as multipart/form-data"),
    })
}

fn too_long(files: &[FileField], length: u64, limit: u64) -> Problem {
    match files {
        [file] => file.too_large(),
        _ => {
            let detail = format!("the request has {length} bytes, and {limit} are allowed here");
            Problem::new(ProblemKind::TooLarge, detail)
        }
    }
}
