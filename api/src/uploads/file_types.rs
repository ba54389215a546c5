//! The type of a file, by its first bytes and not by the client's word.

use store::{MediaType, ResourceType};

/// So many first bytes tell every accepted type.
pub(crate) const SNIFF_BYTES: usize = 1024;

/// What a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepts {
    /// JPEG, PNG, GIF, WebP and AVIF.
    Images,
    /// The images, and MP4, WebM, QuickTime and Matroska.
    ImagesAndVideos,
}

/// The content types of the images, and after them those of the videos.
const CONTENT_TYPES: [&str; 9] = [
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/quicktime",
    "video/x-matroska",
];

impl Accepts {
    /// The accepted types as they are stored and served.
    pub(crate) fn content_types(self) -> &'static [&'static str] {
        let (images, _) = CONTENT_TYPES.split_at(5);
        match self {
            Self::Images => images,
            Self::ImagesAndVideos => &CONTENT_TYPES,
        }
    }

    /// The accepted types, for the document.
    pub(crate) const fn listed(self) -> &'static str {
        match self {
            Self::Images => "JPEG, PNG, GIF, WebP or AVIF",
            Self::ImagesAndVideos => {
                "An image (JPEG, PNG, GIF, WebP, AVIF) or a video (MP4, WebM, QuickTime, Matroska)"
            }
        }
    }

    /// The accepted types, as an error says it.
    pub(crate) const fn in_words(self) -> &'static str {
        match self {
            Self::Images => "must be a JPEG, PNG, GIF, WebP or AVIF image",
            Self::ImagesAndVideos => {
                "must be a JPEG, PNG, GIF, WebP or AVIF image or an MP4, WebM, QuickTime or Matroska video"
            }
        }
    }
}

/// The type of a file that begins with `first`, if it is one that is accepted.
pub(crate) fn of(first: &[u8], accepts: Accepts) -> Option<MediaType> {
    // Only types that browsers show without running anything in them: SVG and HTML are none.
    let known = infer::get(first).map(|known| known.mime_type());
    let (content_type, resource_type) = match known.or_else(|| mp4_of_another_brand(first))? {
        known @ ("image/jpeg" | "image/png" | "image/gif" | "image/webp" | "image/avif") => {
            (known, ResourceType::Image)
        }
        known @ ("video/mp4" | "video/webm" | "video/quicktime" | "video/x-matroska") => (known, ResourceType::Video),
        // iTunes' brand of MP4.
        "video/x-m4v" => ("video/mp4", ResourceType::Video),
        _ => return None,
    };
    if resource_type == ResourceType::Video && accepts == Accepts::Images {
        return None;
    }
    Some(MediaType { content_type: content_type.to_owned(), resource_type })
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
