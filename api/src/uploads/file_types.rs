//! The type of a file, by its first bytes and not by the client's word.

use store::{MediaType, ResourceType};

/// So many first bytes tell every accepted type.
pub(super) const SNIFF_BYTES: usize = 1024;

/// What a field takes: only types that browsers show without running anything in them. SVG and HTML are none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepts {
    /// As they are stored and served.
    pub(crate) content_types: &'static [&'static str],
    /// For the document.
    pub(crate) listed: &'static str,
    /// As an error says it.
    pub(crate) in_words: &'static str,
}

impl Accepts {
    pub(crate) const IMAGES: Self = Self {
        content_types: &["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"],
        listed: "JPEG, PNG, GIF, WebP or AVIF",
        in_words: "must be a JPEG, PNG, GIF, WebP or AVIF image",
    };

    pub(crate) const IMAGES_AND_VIDEOS: Self = Self {
        content_types: &[
            "image/jpeg",
            "image/png",
            "image/gif",
            "image/webp",
            "image/avif",
            "video/mp4",
            "video/webm",
            "video/quicktime",
            "video/x-matroska",
        ],
        listed: "An image (JPEG, PNG, GIF, WebP, AVIF) or a video (MP4, WebM, QuickTime, Matroska)",
        in_words: "must be a JPEG, PNG, GIF, WebP or AVIF image or an MP4, WebM, QuickTime or Matroska video",
    };
}

/// The type of a file that begins with `first`, if it is one that is accepted.
pub(super) fn media_type(first: &[u8], accepts: Accepts) -> Option<MediaType> {
    let known = infer::get(first).map(|known| known.mime_type());
    let content_type = match known.or_else(|| mp4_of_another_brand(first))? {
        // iTunes' brand of MP4.
        "video/x-m4v" => "video/mp4",
        known => known,
    };
    let resource_type = if content_type.starts_with("image/") { ResourceType::Image } else { ResourceType::Video };
    let is_accepted = accepts.content_types.contains(&content_type);
    is_accepted.then(|| MediaType { content_type: content_type.to_owned(), resource_type })
}

/// Cameras and packagers put a brand of their own first. The list of compatible brands tells whether the file is an MP4
/// all the same (ISO/IEC 14496-12, section 4.3: size, `ftyp`, major brand, version, list).
fn mp4_of_another_brand(first: &[u8]) -> Option<&'static str> {
    let (size, rest) = first.split_first_chunk()?;
    let size = usize::try_from(u32::from_be_bytes(*size)).ok()?;
    let end = size.min(first.len()).checked_sub(4)?;
    let brands = rest.get(..end)?.strip_prefix(b"ftyp")?.get(8..)?;
    brands.chunks_exact(4).any(|brand| matches!(brand, b"mp41" | b"mp42")).then_some("video/mp4")
}
