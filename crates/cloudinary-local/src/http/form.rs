//! Reads parameters and a file from a request's body.

use std::error::Error as _;
use std::path::Path;

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::request::Parts;
use bytes::Bytes;
use futures_util::StreamExt;
use multer::{Field, Multipart};

use crate::assets::staged_file::{StagedFile, StagedFileWriter};
use crate::http::body::{BodyError, RequestBody};
use crate::http::params::Params;
use crate::http::refusal::Refusal;

/// Bytes in a text field.
const MAX_FIELD: usize = 1024 * 1024;
/// Parts of a multipart body.
const MAX_PARTS: usize = 200;
/// Bytes of a JSON or form body, which is held in memory. Cloudinary accepts data URIs of about 60 MB.
const MAX_TEXT: usize = 64 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Received {
    pub params: Params,
    pub file: Option<FilePart>,
}

/// The `file` parameter.
#[derive(Debug)]
pub(crate) struct FilePart {
    pub staged: StagedFile,
    /// A part without a file name is text: a URL or a data URI.
    pub filename: Option<String>,
    pub is_text: bool,
}

/// Parameters of the body come before those of the query.
pub(crate) async fn receive(parts: &Parts, mut body: RequestBody, incoming: &Path) -> Result<Received, Refusal> {
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut received = Received::default();
    match essence.as_str() {
        "multipart/form-data" => {
            let boundary = multer::parse_boundary(content_type)
                .map_err(|error| Refusal::bad_request(format!("Malformed multipart body: {error}")))?;
            multipart(Multipart::new(body, boundary), incoming, &mut received).await?;
        }
        "application/json" => {
            let text = text(&mut body).await?;
            // SDKs send the type with requests that have no body.
            if !text.is_empty() {
                received.params.add_json(&text)?;
            }
        }
        "application/x-www-form-urlencoded" => received.params.add_form(&text(&mut body).await?),
        _ => {}
    }
    if let Some(query) = parts.uri.query() {
        received.params.add_form(query.as_bytes());
    }
    if received.file.is_none()
        && let Some(file) = received.params.remove("file")
    {
        let staged = StagedFile::from_bytes(Bytes::from(file));
        received.file = Some(FilePart { staged, filename: None, is_text: true });
    }
    Ok(received)
}

async fn text(body: &mut RequestBody) -> Result<Vec<u8>, Refusal> {
    let mut text = Vec::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(broken)?;
        if text.len() + piece.len() > MAX_TEXT {
            return Err(Refusal::TooLarge);
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

async fn multipart(mut body: Multipart<'_>, incoming: &Path, received: &mut Received) -> Result<(), Refusal> {
    let mut count = 0;
    while let Some(field) = body.next_field().await.map_err(malformed)? {
        count += 1;
        if count > MAX_PARTS {
            return Err(Refusal::bad_request(format!("More than {MAX_PARTS} parts")));
        }
        let Some(name) = field.name().map(str::to_owned) else { continue };
        if !is_seen(&field) {
            tracing::warn!(
                field = name,
                "ignored, as Cloudinary does: its name is not quoted or its text has a Content-Type"
            );
            continue;
        }
        if name == "file" {
            received.file = Some(file_part(field, incoming).await?);
        } else {
            let value = text_part(field, &name).await?;
            received.params.push(name, value);
        }
    }
    Ok(())
}

/// Cloudinary's parser ignores a field whose name is not quoted, and text that has a `Content-Type`.
fn is_seen(field: &Field<'_>) -> bool {
    let disposition = field.headers().get(CONTENT_DISPOSITION).map(|value| value.as_bytes()).unwrap_or_default();
    let quoted = disposition.windows(7).any(|window| window.eq_ignore_ascii_case(b" name=\""))
        || disposition.windows(7).any(|window| window.eq_ignore_ascii_case(b";name=\""));
    quoted && (has_filename(field) || field.content_type().is_none())
}

/// A file name counts even if it is not UTF-8; the Node SDK sends such names.
fn has_filename(field: &Field<'_>) -> bool {
    let disposition = field.headers().get(CONTENT_DISPOSITION).map(|value| value.as_bytes()).unwrap_or_default();
    disposition.windows(9).any(|window| window.eq_ignore_ascii_case(b"filename="))
        || disposition.windows(10).any(|window| window.eq_ignore_ascii_case(b"filename*="))
}

async fn file_part(mut field: Field<'_>, incoming: &Path) -> Result<FilePart, Refusal> {
    let is_text = !has_filename(&field);
    let filename = field.file_name().map(str::to_owned);
    let mut writer = StagedFileWriter::new(incoming);
    while let Some(piece) = field.chunk().await.map_err(malformed)? {
        writer.write(&piece).await?;
    }
    Ok(FilePart { staged: writer.finish().await?, filename, is_text })
}

async fn text_part(mut field: Field<'_>, name: &str) -> Result<String, Refusal> {
    let mut value = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(malformed)? {
        if value.len() + piece.len() > MAX_FIELD {
            return Err(Refusal::bad_request(format!("Parameter {name} is longer than {MAX_FIELD} bytes")));
        }
        value.extend_from_slice(&piece);
    }
    String::from_utf8(value).map_err(|_| Refusal::bad_request(format!("Parameter {name} is not UTF-8")))
}

fn malformed(error: multer::Error) -> Refusal {
    match error {
        multer::Error::StreamReadFailed(source) => match source.downcast::<BodyError>() {
            Ok(error) => broken(*error),
            Err(error) => Refusal::bad_request(format!("Malformed multipart body: {error}")),
        },
        error => {
            let reason = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            Refusal::bad_request(format!("Malformed multipart body: {error}{reason}"))
        }
    }
}

fn broken(error: BodyError) -> Refusal {
    match error {
        BodyError::TooLarge => Refusal::TooLarge,
        BodyError::Cut => Refusal::Abort,
        BodyError::Broken(error) => Refusal::bad_request(format!("The body broke off: {error}")),
    }
}
