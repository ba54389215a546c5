//! What a file is, by its first bytes and not by the client's word.

use store::{MediaType, ResourceType};

/// As many first bytes as tell every type that is accepted.
pub(crate) const SNIFF_BYTES: usize = 1024;

/// What a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// JPEG, PNG, GIF, WebP and AVIF.
    Images,
    /// The images, and MP4, WebM, QuickTime and Matroska.
    ImagesAndVideos,
}

impl Accepts {
    /// The accepted types in words.
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
    let (content_type, resource_type) = match infer::get(first)?.mime_type() {
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
