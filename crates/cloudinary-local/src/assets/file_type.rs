//! Recognises a file by its first bytes, never by its name.

use std::io;

use file_types::{Kind, TYPES, Taken};

use crate::assets::ResourceType;
use crate::assets::staged_file::StagedFile;

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

/// Formats that `imagesize` measures. Others have no dimensions here, and are taken by their first bytes.
const MEASURED: [&str; 11] = ["jpg", "png", "gif", "webp", "avif", "heic", "heif", "jxl", "bmp", "ico", "psd"];

/// Reads the first bytes and, of an image, the dimensions. An image without readable dimensions is broken and counts as
/// raw. Blocks.
pub(crate) fn inspect(staged: &StagedFile) -> io::Result<Media> {
    let first = staged.head(file_types::FIRST_BYTES as u64)?;
    let mut media = sniff(&first);
    if !media.format.is_some_and(|format| MEASURED.contains(&format)) {
        return Ok(media);
    }
    if let Some((width, height)) = file_types::bmp_size(&first) {
        (media.width, media.height) = (Some(width), Some(height));
        return Ok(media);
    }
    let Ok(size) = imagesize::reader_size(staged.open()?) else { return Ok(Media::RAW) };
    media.width = u32::try_from(size.width).ok();
    media.height = u32::try_from(size.height).ok();
    Ok(media)
}

/// What Cloudinary documents, by the list that Steep has of it; an animated AVIF is none of that.
fn sniff(head: &[u8]) -> Media {
    match file_types::detect(head) {
        Some(known) if !matches!(known.taken, Taken::Nowhere(_)) => {
            let resource_type = match known.kind {
                Kind::Image => ResourceType::Image,
                Kind::Video => ResourceType::Video,
            };
            Media::of(resource_type, known.extension)
        }
        _ => Media::RAW,
    }
}

/// Whatever is of no known type is delivered as plain bytes.
pub(crate) fn content_type(format: &str) -> &'static str {
    match format {
        "jpeg" => "image/jpeg",
        "txt" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "json" => "application/json",
        "zip" => "application/zip",
        _ => {
            let known = TYPES.iter().find(|known| known.extension == format);
            known.map_or("application/octet-stream", |known| known.content_type)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_a_picture_and_what_cloudinary_does_not_take_are_told_apart() {
        let ftyp = |brand: &str| sniff(format!("\0\0\0\x14ftyp{brand}\0\0\0\0{brand}").as_bytes());
        assert_eq!(ftyp("isom"), Media::of(ResourceType::Video, "mp4"));
        assert_eq!(ftyp("heic"), Media::of(ResourceType::Image, "heic"));
        assert_eq!(ftyp("avis"), Media::RAW);
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
