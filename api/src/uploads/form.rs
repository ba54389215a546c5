//! An upload request: its head is checked before its body is read, and its form is read part by part.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use multer::Multipart;

use super::body_stream::{BodyError, HeadBudget, body_stream};
use super::disposition::Disposition;
use super::file::{FilePart, Files};
use super::{Admitted, FileField, UploadForm, Uploads};
use crate::http::content_coding::refuse_coded;
use crate::http::{Problem, ProblemKind};

/// What an upload may be longer than the files in it: text fields, and the heads and boundaries of all parts.
const OVERHEAD_BYTES: u64 = 1024 * 1024;
/// Front ends send fewer.
const MAX_PARTS: usize = 20;
/// The longest value of a text field, in bytes.
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// The longest head of a part, in bytes.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// As much may arrive before a head is complete: the head, and the rest of the chunk that it ends in.
const HEAD_BUDGET: u64 = 128 * 1024;

/// A request with a form of the type `F`, whose body has not been read. Handlers check everything that the head tells
/// before they read on: a client that sent `Expect: 100-continue` sends no body until then.
#[derive(Debug)]
pub(crate) struct Upload<F> {
    pub(crate) headers: HeaderMap,
    body: Body,
    form: PhantomData<F>,
}

/// One part. A file must be taken or dropped before the next part can be read.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, on the stack, and it is taken apart at once")]
pub(crate) enum Part<'a> {
    Text { name: String, value: String },
    File(FilePart<'a>),
}

#[derive(Debug)]
pub(crate) struct Form<'a> {
    multipart: Multipart<'a>,
    head: HeadBudget,
    files: &'static [FileField],
    /// Length of the whole form, if the client declared one.
    bytes: Option<u64>,
    seen: Vec<&'static str>,
    parts: usize,
    begun: Instant,
}

impl<S: Send + Sync, F> FromRequest<S> for Upload<F> {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let (parts, body) = request.into_parts();
        Ok(Self { headers: parts.headers, body, form: PhantomData })
    }
}

impl<F: UploadForm> Upload<F> {
    /// The body's length, if the client declared one.
    pub(crate) fn declared_length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Reads a form of which only the files count, and refuses it if a required one is missing.
    pub(crate) async fn receive(&mut self, uploads: &Uploads, admitted: Admitted) -> Result<Files, Problem> {
        let mut form = self.form(uploads)?;
        let mut files = Files::new(admitted);
        while let Some(part) = form.next().await? {
            if let Part::File(file) = part {
                files.receive(file, uploads).await?;
            }
        }
        Problem::invalid_fields(files.missing(F::FILES))?;
        Ok(files)
    }

    /// Begins to read the form part by part. Refuses what its head already shows to be no form or too long.
    pub(crate) fn form(&mut self, uploads: &Uploads) -> Result<Form<'_>, Problem> {
        refuse_coded(&self.headers)?;
        let boundary = boundary(&self.headers)?;
        let limits = &uploads.limits;
        let sizes = F::FILES.iter().map(|file| (file.limit.of)(limits));
        let limit = sizes.fold(OVERHEAD_BYTES, u64::saturating_add);
        let bytes = self.declared_length();
        if let Some(length) = bytes.filter(|length| *length > limit) {
            return Err(match F::FILES {
                [file] => file.too_large(limits),
                _ => {
                    let detail = format!("the request has {length} bytes, and {limit} are allowed here");
                    Problem::new(ProblemKind::TooLarge, detail)
                }
            });
        }
        let head = HeadBudget::new(HEAD_BUDGET);
        let body = body_stream(&mut self.body, head.clone(), limit, limits);
        let multipart = Multipart::new(body, boundary);
        Ok(Form { multipart, head, files: F::FILES, bytes, seen: Vec::new(), parts: 0, begun: Instant::now() })
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

impl<'a> Form<'a> {
    /// The next part, in the order in which the client sent them.
    ///
    /// Skips a *text* part under the name of a file field: front ends send `coverImage="null"` for a file that was not
    /// chosen. 400 for a body that is cut off or no multipart, 408 for a slow client, 413 for a text that is too long,
    /// 422 for a file under a name that takes none or took one already.
    pub(crate) async fn next(&mut self) -> Result<Option<Part<'a>>, Problem> {
        loop {
            self.head.limit(HEAD_BUDGET);
            let field = self.multipart.next_field().await.map_err(refused)?;
            self.head.limit(u64::MAX);
            let Some(field) = field else {
                meters::UPLOAD_RECEIVE.took(&[], self.begun.elapsed());
                return Ok(None);
            };

            self.parts += 1;
            let head: usize = field.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            if self.parts > MAX_PARTS || head > MAX_HEAD_BYTES {
                let detail =
                    format!("a form has at most {MAX_PARTS} parts with heads of at most {MAX_HEAD_BYTES} bytes");
                return Err(Problem::new(ProblemKind::Malformed, detail));
            }
            let disposition = field.headers().get(header::CONTENT_DISPOSITION).map_or(&b""[..], HeaderValue::as_bytes);
            let Disposition { name: Some(name), file_name } = Disposition::parse(disposition) else {
                return Err(Problem::new(ProblemKind::Malformed, "a part of the form has no name"));
            };
            let takes_file = self.files.iter().find(|file| file.name == name).copied();
            let is_file = file_name.is_some() || is_file_by_type(&field, takes_file.is_some());
            match (is_file, takes_file) {
                (true, Some(spec)) if self.seen.contains(&spec.name) => {
                    return Err(Problem::invalid(spec.name, "was sent twice; one file is taken"));
                }
                (true, Some(spec)) => {
                    self.seen.push(spec.name);
                    let client_name = file_name.unwrap_or_default();
                    return Ok(Some(Part::File(FilePart { field, spec, client_name, form_bytes: self.bytes })));
                }
                (true, None) => {
                    let message = match self.files {
                        [file] => format!("takes no file; send it as {}", file.name),
                        _ => "takes no file".to_owned(),
                    };
                    return Err(Problem::invalid(name, message));
                }
                (false, Some(_)) => drop(text(field, name).await?),
                (false, None) => {
                    let value = text(field, name.clone()).await?;
                    return Ok(Some(Part::Text { name, value }));
                }
            }
        }
    }
}

/// A part is a file if its head names one, even by an empty name. One that names none is a file by its type, as some
/// clients send what they have in memory; what is only bytes is one under the name of a file field.
fn is_file_by_type(field: &multer::Field<'_>, takes_file: bool) -> bool {
    field.content_type().is_some_and(|content_type| match content_type.type_() {
        mime::IMAGE | mime::VIDEO | mime::AUDIO => true,
        _ => takes_file && content_type.essence_str() == mime::APPLICATION_OCTET_STREAM.essence_str(),
    })
}

async fn text(mut field: multer::Field<'_>, name: String) -> Result<String, Problem> {
    let mut value = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(refused)? {
        if value.len() + chunk.len() > MAX_TEXT_BYTES {
            let message = format!("must not be longer than {MAX_TEXT_BYTES} bytes");
            return Err(Problem::field(ProblemKind::TooLarge, name, message));
        }
        value.extend_from_slice(&chunk);
    }
    String::from_utf8(value).map_err(|_| Problem::invalid(name, "must be UTF-8 text"))
}

pub(super) fn refused(error: multer::Error) -> Problem {
    let multer::Error::StreamReadFailed(cause) = error else {
        let detail = "the form is malformed or was cut off before its end";
        return Problem::new(ProblemKind::Malformed, detail).because(error);
    };
    let Some(error) = cause.downcast_ref::<BodyError>() else {
        return Problem::new(ProblemKind::Malformed, "the request was cut off before its end").because(cause);
    };
    let kind = match error {
        BodyError::Slow => ProblemKind::RequestTimeout,
        BodyError::TooLong { .. } => ProblemKind::TooLarge,
        BodyError::LongHead | BodyError::Broken(_) => ProblemKind::Malformed,
    };
    let problem = Problem::new(kind, error.to_string());
    match error {
        // The log shows no sources.
        BodyError::Broken(source) => problem.because(format!("{error}: {source:?}")),
        _ => problem.because(cause),
    }
}
