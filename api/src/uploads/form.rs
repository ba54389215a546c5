//! Reads a form part by part.

use multer::Multipart;

use super::FileField;
use super::body_stream::{BodyError, BodyStream, HeadBudget};
use super::file::FilePart;
use crate::config::Limits;
use crate::http::problem::{Problem, ProblemKind};

/// Front ends send fewer.
const MAX_PARTS: usize = 20;
/// The longest value of a text field, in bytes.
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// The longest head of a part, in bytes.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// As much may arrive before a head is complete: the head, and the rest of the chunk that it ends in.
const HEAD_BUDGET: u64 = 128 * 1024;

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
    limits: Limits,
    bytes: Option<u64>,
    seen: Vec<&'static str>,
    parts: usize,
}

impl<'a> Form<'a> {
    pub(super) fn new(
        body: BodyStream<'a>,
        boundary: String,
        head: HeadBudget,
        files: &'static [FileField],
        limits: Limits,
        bytes: Option<u64>,
    ) -> Self {
        Self { multipart: Multipart::new(body, boundary), head, files, limits, bytes, seen: Vec::new(), parts: 0 }
    }

    /// The next part, in the order in which the client sent them.
    ///
    /// Skips a *text* part under the name of a file field: front ends send `coverImage="null"` for a file that was not
    /// chosen. 400 for a body that is cut off or no multipart, 408 for a slow client, 413 for a text that is too long,
    /// 422 for a file under a name that takes none or took one already.
    pub(crate) async fn next(&mut self) -> Result<Option<Part<'a>>, Problem> {
        loop {
            self.head.limit(HEAD_BUDGET);
            let field = self.multipart.next_field().await.map_err(refused)?;
            self.head.lift();
            let Some(field) = field else { return Ok(None) };

            self.parts += 1;
            let head: usize = field.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            if self.parts > MAX_PARTS || head > MAX_HEAD_BYTES {
                let detail =
                    format!("a form has at most {MAX_PARTS} parts with heads of at most {MAX_HEAD_BYTES} bytes");
                return Err(Problem::new(ProblemKind::Malformed, detail));
            }
            let Some(name) = field.name().map(str::to_owned) else {
                return Err(Problem::new(ProblemKind::Malformed, "a part of the form has no name"));
            };
            let takes_file = self.files.iter().find(|file| file.name == name).copied();
            match (is_file(&field), takes_file) {
                (true, Some(spec)) => match self.seen.contains(&spec.name) {
                    true => return Err(Problem::invalid(spec.name, "was sent twice; one file is taken")),
                    false => {
                        self.seen.push(spec.name);
                        return Ok(Some(Part::File(FilePart::new(
                            field,
                            spec,
                            (spec.limit.of)(&self.limits),
                            self.bytes,
                        ))));
                    }
                },
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

/// A part is a file if its head names one, even by an empty name or by one that is not UTF-8.
fn is_file(field: &multer::Field<'_>) -> bool {
    let disposition = field.headers().get("content-disposition").map_or(&b""[..], |value| value.as_bytes());
    field.file_name().is_some() || disposition.windows(10).any(|window| window.eq_ignore_ascii_case(b"; filename"))
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
    let problem = match cause.downcast_ref::<BodyError>() {
        Some(BodyError::Slow) => {
            Problem::new(ProblemKind::RequestTimeout, "the upload came too slowly and was cut off")
        }
        Some(BodyError::TooLong { limit }) => {
            Problem::new(ProblemKind::TooLarge, format!("the request must not be longer than {limit} bytes"))
        }
        Some(BodyError::LongHead) => Problem::new(ProblemKind::Malformed, "the head of a part has no end"),
        Some(BodyError::Broken(_)) | None => {
            Problem::new(ProblemKind::Malformed, "the request was cut off before its end")
        }
    };
    problem.because(cause)
}
