//! Recognises a file by its first bytes, never by its name.

use std::io;

use crate::assets::ResourceType;
use crate::assets::staged_file::StagedFile;

const HEAD: u64 = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Media {
    pub resource_type: ResourceType,
    /// As replies name it; raw files have none.
    pub format: Option<&'static str>,
    pub width: Option<u32>,
    pub height: Option<u32>,
}

impl Media {
    const RAW: Self = Self { resource_type: ResourceType::Raw, format: None, width: None, height: None };

    fn of(resource_type: ResourceType, format: &'static str) -> Self {
        Self { resource_type, format: Some(format), width: None, height: None }
    }
}

/// Reads the first bytes and, of an image, the dimensions. An image without readable dimensions is broken and counts as
/// raw. Blocks.
pub(crate) fn inspect(staged: &StagedFile) -> io::Result<Media> {
    let head = staged.head(HEAD)?;
    let mut media = sniff(&head);
    let measurable = media.resource_type == ResourceType::Image && !matches!(media.format, Some("pdf" | "svg"));
    if !measurable {
        return Ok(media);
    }
    let Ok(size) = imagesize::reader_size(staged.open()?) else { return Ok(Media::RAW) };
    media.width = u32::try_from(size.width).ok();
    media.height = u32::try_from(size.height).ok();
    Ok(media)
}

fn sniff(head: &[u8]) -> Media {
    if let Some(media) = container(head) {
        return media;
    }
    if is_svg(head) {
        return Media::of(ResourceType::Image, "svg");
    }
    let Some(kind) = infer::get(head) else { return Media::RAW };
    match kind.matcher_type() {
        infer::MatcherType::Image => match kind.mime_type() {
            "image/jpeg" => Media::of(ResourceType::Image, "jpg"),
            "image/png" => Media::of(ResourceType::Image, "png"),
            "image/gif" => Media::of(ResourceType::Image, "gif"),
            "image/webp" => Media::of(ResourceType::Image, "webp"),
            "image/bmp" => Media::of(ResourceType::Image, "bmp"),
            _ => Media::RAW,
        },
        infer::MatcherType::Video | infer::MatcherType::Audio => Media::of(ResourceType::Video, kind.extension()),
        _ if kind.mime_type() == "application/pdf" => Media::of(ResourceType::Image, "pdf"),
        _ => Media::RAW,
    }
}

/// Containers that start with a box or an EBML header. `infer` needs 256 bytes of some.
fn container(head: &[u8]) -> Option<Media> {
    if head.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]) {
        let webm = head.windows(4).take(64).any(|window| window == b"webm");
        return Some(Media::of(ResourceType::Video, if webm { "webm" } else { "mkv" }));
    }
    Some(match head.get(4..12)?.strip_prefix(b"ftyp")? {
        b"avif" | b"avis" => Media::of(ResourceType::Image, "avif"),
        b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1" => Media::of(ResourceType::Image, "heic"),
        b"qt  " => Media::of(ResourceType::Video, "mov"),
        b"M4A " | b"M4B " => Media::of(ResourceType::Video, "m4a"),
        _ => Media::of(ResourceType::Video, "mp4"),
    })
}

/// An SVG document begins with its element, perhaps after an XML declaration, comments or a byte order mark.
fn is_svg(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    text.starts_with("<svg") || (text.starts_with("<?xml") || text.starts_with("<!--")) && text.contains("<svg")
}

/// Whatever a browser could run is delivered as plain bytes.
pub(crate) fn content_type(format: &str) -> &'static str {
    match format {
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "heic" => "image/heic",
        "bmp" => "image/bmp",
        "svg" => "image/svg+xml",
        "pdf" => "application/pdf",
        "mp4" | "m4v" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "avi" => "video/x-msvideo",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "txt" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "json" => "application/json",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_told_apart_by_their_brand() {
        let ftyp = |brand: &str| sniff(format!("\0\0\0\x18ftyp{brand}\0\0\0\0mp42").as_bytes());
        assert_eq!(ftyp("isom").format, Some("mp4"));
        assert_eq!(ftyp("qt  ").format, Some("mov"));
        assert_eq!(ftyp("isom").resource_type, ResourceType::Video);
        assert_eq!(ftyp("avif").resource_type, ResourceType::Image);
        assert_eq!(sniff(b"\x1a\x45\xdf\xa3\x01\x42\x82\x84webm").format, Some("webm"));
        assert_eq!(sniff(b"\x1a\x45\xdf\xa3\x01\x42\x82\x88matroska").format, Some("mkv"));
    }

    #[test]
    fn text_and_web_pages_are_raw() {
        assert_eq!(sniff(b"hello"), Media::RAW);
        assert_eq!(sniff(b"<!doctype html><svg>"), Media::RAW);
        assert_eq!(sniff(b""), Media::RAW);
        assert_eq!(sniff(b"<?xml version='1.0'?><svg/>").format, Some("svg"));
    }

    #[test]
    fn the_start_of_a_picture_alone_is_not_a_picture() {
        let staged = StagedFile::from_bytes(bytes::Bytes::from_static(b"\xff\xd8\xff\xe0"));
        assert_eq!(inspect(&staged).expect("in memory"), Media::RAW);
    }
}
