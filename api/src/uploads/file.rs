//! The files of a form.

use bytes::{Bytes, BytesMut};
use file_types::{FIRST_BYTES, Fault, Reader, Rules};
use messages::JobId;
use spool::{Spooled, Writer};
use store::{MediaType, NewUpload, ResourceType, Role};

use super::accepts::media_type;
use super::form::refused;
use super::{Admitted, FileField, Uploads};
use crate::config::Limits;
use crate::http::{FieldError, Problem, ProblemKind};

/// The longest name of a file that is kept, in characters.
const MAX_NAME_CHARS: usize = 255;

/// A file whose head was read and whose bytes were not.
#[derive(Debug)]
pub(crate) struct FilePart<'a> {
    pub(super) field: multer::Field<'a>,
    pub(super) spec: FileField,
    /// What the client calls it, if anything.
    pub(super) client_name: String,
    /// Length of the whole form, if the client declared one.
    pub(super) form_bytes: Option<u64>,
}

/// The files of a form whose bytes are in the spool but not yet synced. Dropping them removes them.
#[derive(Debug)]
pub(crate) struct Files {
    received: Vec<Received>,
    admitted: Admitted,
}

/// Durable files that no job owns yet. Dropping them removes them.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(super) spooled: Vec<Spooled>,
    /// Of each file the field, what it is, and its bytes.
    pub(super) measures: Vec<(&'static str, ResourceType, u64)>,
    pub(super) admitted: Admitted,
}

#[derive(Debug)]
struct Received {
    field: FileField,
    /// What it is, by its first bytes.
    media_type: MediaType,
    /// What the client calls it: to be shown, never to be used as a name.
    original_name: String,
    writer: Writer,
}

impl Files {
    /// None yet, of an upload that may come.
    pub(crate) fn new(admitted: Admitted) -> Self {
        Self { received: Vec::new(), admitted }
    }

    /// Streams a part into the spool, unless it is without name and content: browsers send that when no file was
    /// chosen. 413 over the field's limit, 415 for a type that the field does not take, 422 for a file that is empty or not
    /// whole and for a picture of too many pixels, 507 when the disk would become too full. Then nothing stays in the spool.
    ///
    /// An image of a user is kept without what it tells about itself, unless a setting says so.
    pub(crate) async fn receive(&mut self, part: FilePart<'_>, uploads: &Uploads) -> Result<(), Problem> {
        let FilePart { spec, client_name, form_bytes, field: mut part } = part;
        let first = first_bytes(&mut part).await?;
        if first.is_empty() {
            return match client_name.is_empty() {
                true => Ok(()),
                false => Err(Problem::invalid(spec.name, "must not be an empty file")),
            };
        }
        let limits = &uploads.limits;
        let file_type = spec.accepts.check(spec.name, &first, limits)?;
        let without_metadata = spec.role != Role::Media && !limits.keep_metadata;
        let rules = Rules { max_pixels: limits.upload_max_pixels, without_metadata };
        let mut reader = Reader::new(file_type, rules);
        let faulty = |fault: Fault| Problem::invalid(spec.name, fault.to_string());
        let max_bytes = (spec.limit.of)(limits);
        let mut writer = uploads.spool.create().expecting(form_bytes.unwrap_or_default());
        let (mut next, mut received, mut kept) = (Some(first), 0, Vec::new());
        while let Some(chunk) = next {
            received += chunk.len() as u64;
            if received > max_bytes {
                return Err(spec.too_large(limits));
            }
            reader.push(chunk, &mut kept).map_err(faulty)?;
            self.write(&mut writer, &mut kept).await?;
            next = part.chunk().await.map_err(refused)?;
        }
        reader.finish(&mut kept).map_err(faulty)?;
        self.write(&mut writer, &mut kept).await?;
        let media_type = media_type(file_type);
        self.received.push(Received { field: spec, media_type, original_name: sanitised(&client_name), writer });
        Ok(())
    }

    async fn write(&mut self, writer: &mut Writer, kept: &mut Vec<Bytes>) -> Result<(), Problem> {
        for piece in kept.drain(..) {
            self.admitted.take(piece.len() as u64)?;
            writer.write(piece).await?;
        }
        Ok(())
    }

    /// Names the required files that did not come.
    pub(crate) fn missing(&self, fields: &[FileField]) -> Vec<FieldError> {
        let came = |field: &FileField| self.received.iter().any(|file| file.field.name == field.name);
        let missing = fields.iter().filter(|field| field.is_required && !came(field));
        missing.map(|field| FieldError::new(field.name, "is required")).collect()
    }

    /// Makes the files durable, which costs one sync each, and names the asset and the job of each.
    pub(crate) async fn commit(self, to: &Uploads) -> Result<(Vec<NewUpload>, Committed), Problem> {
        let (mut uploads, mut guards, mut measures) = (Vec::new(), Vec::new(), Vec::new());
        for Received { field, media_type, original_name, writer } in self.received {
            let spooled = writer.commit().await?;
            measures.push((field.name, media_type.resource_type, spooled.bytes));
            uploads.push(NewUpload {
                asset: store::new_asset_id(),
                job: JobId::new(),
                role: field.role,
                spool: to.spool.id().clone(),
                file: spooled.file,
                media_type,
                bytes: spooled.bytes,
                crc32: spooled.crc32,
                original_name,
            });
            guards.push(spooled);
        }
        Ok((uploads, Committed { spooled: guards, measures, admitted: self.admitted }))
    }
}

impl FileField {
    pub(super) fn too_large(&self, limits: &Limits) -> Problem {
        let message = format!("must not be larger than {} bytes", (self.limit.of)(limits));
        Problem::field(ProblemKind::TooLarge, self.name, message)
    }
}

/// Enough to tell the type, or all there is.
async fn first_bytes(field: &mut multer::Field<'_>) -> Result<Bytes, Problem> {
    let first = field.chunk().await.map_err(refused)?.unwrap_or_default();
    if first.len() >= FIRST_BYTES {
        return Ok(first);
    }
    let mut gathered = BytesMut::from(first);
    while gathered.len() < FIRST_BYTES {
        let Some(chunk) = field.chunk().await.map_err(refused)? else { break };
        gathered.extend_from_slice(&chunk);
    }
    Ok(gathered.freeze())
}

/// The last component of a client's path, without characters that are harmful to show.
fn sanitised(client_name: &str) -> String {
    let name = client_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = shown(name).take(MAX_NAME_CHARS).collect::<String>();
    // A flag may be cut off at the end.
    let name: String = shown(&name).collect();
    match name.trim() {
        "" | "." | ".." => "upload".to_owned(),
        name => name.to_owned(),
    }
}

fn shown(text: &str) -> impl Iterator<Item = char> {
    program::shown(text).filter_map(|(char, is_shown)| is_shown.then_some(char))
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
            ("a\u{2028}b\u{2029}.png", "ab.png"),
            ("\u{feff}a\u{61c}\u{200b}\u{2060}.png", "a.png"),
            ("\u{1f469}\u{200d}\u{1f4bb}.png", "\u{1f469}\u{200d}\u{1f4bb}.png"),
        ] {
            assert_eq!(sanitised(sent), kept, "{sent:?}");
        }
        assert_eq!(sanitised(&"é".repeat(300)).chars().count(), 255);
        let scotland = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}";
        assert_eq!(sanitised(&format!("{scotland}.png")), format!("{scotland}.png"));
        assert_eq!(sanitised(&format!("{}{scotland}", "a".repeat(250))), format!("{}\u{1f3f4}", "a".repeat(250)));
    }
}
