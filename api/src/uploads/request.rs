//! An upload request: its head is checked before its body is read.

use std::convert::Infallible;
use std::marker::PhantomData;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};

use super::body_stream::{BodyStream, HeadBudget, Pace};
use super::file::Files;
use super::form::{Form, Part};
use super::{UploadForm, Uploads};
use crate::http::problem::{Problem, ProblemKind};

/// What an upload may be longer than the files in it: text fields, and the heads and boundaries of all parts.
const OVERHEAD_BYTES: u64 = 1024 * 1024;

/// A request with a form of the type `F`, whose body has not been read. Handlers check everything that the head tells
/// before they read on: a client that sent `Expect: 100-continue` sends no body until then.
#[derive(Debug)]
pub(crate) struct Upload<F> {
    headers: HeaderMap,
    body: Body,
    form: PhantomData<F>,
}

impl<S: Send + Sync, F> FromRequest<S> for Upload<F> {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let (parts, body) = request.into_parts();
        Ok(Self { headers: parts.headers, body, form: PhantomData })
    }
}

impl<F: UploadForm> Upload<F> {
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body's length, if the client declared one.
    pub(crate) fn declared_length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Reads a form of which only the files count, and refuses it if a required one is missing.
    pub(crate) async fn receive(&mut self, uploads: &Uploads) -> Result<Files, Problem> {
        let mut form = self.form(uploads)?;
        let mut files = Files::default();
        while let Some(part) = form.next().await? {
            if let Part::File(file) = part {
                files.receive(file, &uploads.spool).await?;
            }
        }
        Problem::invalid_fields(files.missing(F::FILES))?;
        Ok(files)
    }

    /// Begins to read the form part by part. Refuses what its head already shows to be no form or too long.
    pub(crate) fn form(&mut self, uploads: &Uploads) -> Result<Form<'_>, Problem> {
        let boundary = boundary(&self.headers)?;
        let limits = &uploads.limits;
        let sizes = F::FILES.iter().map(|file| (file.limit.of)(limits));
        let limit = sizes.fold(OVERHEAD_BYTES, u64::saturating_add);
        let length = self.declared_length();
        if let Some(length) = length.filter(|length| *length > limit) {
            return Err(match F::FILES {
                [file] => file.too_large(limits),
                _ => {
                    let detail = format!("the request has {length} bytes, and {limit} are allowed here");
                    Problem::new(ProblemKind::TooLarge, detail)
                }
            });
        }
        let head = HeadBudget::new();
        let body = BodyStream::new(&mut self.body, Pace::new(limits), limit, head.clone());
        Ok(Form::new(body, boundary, head, F::FILES, limits.clone(), length))
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
