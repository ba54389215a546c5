//! One file of a form.

use bytes::{Bytes, BytesMut};
use spool::{Spool, Writer};
use store::MediaType;

use super::file_types::{self, SNIFF_BYTES};
use super::form::{FileField, refused};
use crate::http::problem::{Problem, ProblemKind};

/// The longest name of a file that is kept, in characters.
const MAX_NAME_CHARS: usize = 255;

/// A file whose head was read and whose bytes were not.
#[derive(Debug)]
pub(crate) struct FilePart<'a> {
    field: multer::Field<'a>,
    spec: FileField,
    /// Length of the whole form, if the client declared one.
    form_bytes: Option<u64>,
}

/// A file whose bytes are in the spool but not yet synced. Dropping it removes them.
#[derive(Debug)]
pub(crate) struct Received {
    /// The field it came in.
    pub(crate) field: &'static str,
    /// What it is, by its first bytes.
    pub(crate) media_type: MediaType,
    /// What the client calls it: to be shown, never to be used as a name.
    pub(crate) original_name: String,
    /// The file.
    pub(crate) writer: Writer,
}

impl<'a> FilePart<'a> {
    pub(super) fn new(field: multer::Field<'a>, spec: FileField, form_bytes: Option<u64>) -> Self {
        Self { field, spec, form_bytes }
    }

    /// Streams the file into the spool. `None`: no file was chosen.
    ///
    /// # Errors
    ///
    /// 413 over the field's limit, 415 for a type that the field does not take, 422 for a file without content, and
    /// whatever ends the body early. Nothing is left in the spool then.
    pub(crate) async fn receive(mut self, spool: &Spool) -> Result<Option<Received>, Problem> {
        let client_name = self.field.file_name().unwrap_or_default().to_owned();
        let first = self.first_bytes().await?;
        if first.is_empty() {
            return match client_name.is_empty() {
                true => Ok(None),
                false => Err(Problem::invalid(self.spec.name, "must not be an empty file")),
            };
        }
        let Some(media_type) = file_types::of(&first, self.spec.accepts) else {
            let message = self.spec.accepts.in_words();
            return Err(Problem::field(ProblemKind::UnsupportedType, self.spec.name, message));
        };
        let mut writer = spool.create().expecting(self.form_bytes.unwrap_or_default());
        let mut next = Some(first);
        while let Some(chunk) = next {
            if writer.bytes() + chunk.len() as u64 > self.spec.max_bytes {
                return Err(self.spec.too_large());
            }
            writer.write(chunk).await?;
            next = self.field.chunk().await.map_err(refused)?;
        }
        let original_name = sanitised(&client_name);
        Ok(Some(Received { field: self.spec.name, media_type, original_name, writer }))
    }

    /// Enough to tell the type, or all there is.
    async fn first_bytes(&mut self) -> Result<Bytes, Problem> {
        let mut first = self.field.chunk().await.map_err(refused)?.unwrap_or_default();
        while first.len() < SNIFF_BYTES {
            let Some(chunk) = self.field.chunk().await.map_err(refused)? else { break };
            let mut joined = BytesMut::with_capacity(first.len() + chunk.len());
            joined.extend_from_slice(&first);
            joined.extend_from_slice(&chunk);
            first = joined.freeze();
        }
        Ok(first)
    }
}

/// The last component of a client's path, without characters that do harm where it is shown.
fn sanitised(client_name: &str) -> String {
    let name = client_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name.chars().filter(|char| !is_harmful(*char)).take(MAX_NAME_CHARS).collect();
    match name.trim() {
        "" | "." | ".." => "upload".to_owned(),
        name => name.to_owned(),
    }
}

/// Control characters, and those that turn the direction of text around (Unicode TR 36, section 2.5).
fn is_harmful(char: char) -> bool {
    char.is_control() || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_only_ever_a_name() {
        for (sent, kept) in [
            ("me.png", "me.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\me\\me.png", "me.png"),
            ("/", "upload"),
            ("..", "upload"),
            ("", "upload"),
            ("a\r\nb\0.png", "ab.png"),
            ("gnp.\u{202e}exe", "gnp.exe"),
        ] {
            assert_eq!(sanitised(sent), kept, "{sent:?}");
        }
        assert_eq!(sanitised(&"é".repeat(300)).chars().count(), 255);
    }
}
