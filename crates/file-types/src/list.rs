//! The list of file types.

use std::fmt::Write as _;

/// Who takes files of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Every field: avatars and cover images too.
    Everywhere,
    /// `POST /media`.
    Media,
    /// `POST /media`, if a setting names it: it may hold programs.
    MediaIfAllowed,
    /// Nobody, for this reason.
    Nowhere(&'static str),
}

/// How a browser gets it from our origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Browsers show or play it, and run nothing in it.
    Inline,
    /// To be saved.
    Attachment,
}

/// How Cloudinary sorts it. Audio is `video`, a PDF is `image`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `image`
    Image,
    /// `video`
    Video,
}

impl Kind {
    /// Cloudinary's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
        }
    }
}

/// A type of files.
#[derive(Debug, PartialEq, Eq)]
pub struct FileType {
    /// As people call it.
    pub name: &'static str,
    /// As in a `Content-Type` header.
    pub content_type: &'static str,
    /// Without the dot.
    pub extension: &'static str,
    /// Who takes it.
    pub taken: Taken,
    /// How it is shown from the spool.
    pub shown: Shown,
    /// How Cloudinary sorts it.
    pub kind: Kind,
    /// Whether every browser shows it. Otherwise it is delivered as what the browser can.
    pub in_every_browser: bool,
}

macro_rules! types {
    ($($id:ident $name:literal $content_type:literal $extension:literal
        $taken:expr, $shown:ident $kind:ident $browsers:literal;)+) => {
        $(
            pub(crate) const $id: FileType = FileType {
                name: $name,
                content_type: $content_type,
                extension: $extension,
                taken: $taken,
                shown: Shown::$shown,
                kind: Kind::$kind,
                in_every_browser: $browsers,
            };
        )+

        /// Every type that is known, each content type once.
        pub const TYPES: &[FileType] = &[$($id),+];
    };
}

use Taken::{Everywhere, Media, MediaIfAllowed, Nowhere};

const ANIMATED: &str = "must not be an animated AVIF: Cloudinary does not take it";

types! {
    JPEG "JPEG" "image/jpeg" "jpg" Everywhere, Inline Image true;
    PNG "PNG" "image/png" "png" Everywhere, Inline Image true;
    GIF "GIF" "image/gif" "gif" Everywhere, Inline Image true;
    WEBP "WebP" "image/webp" "webp" Everywhere, Inline Image true;
    AVIF "AVIF" "image/avif" "avif" Everywhere, Inline Image true;
    HEIC "HEIC" "image/heic" "heic" Everywhere, Inline Image false;
    HEIF "HEIF" "image/heif" "heif" Everywhere, Inline Image false;
    JXL "JPEG XL" "image/jxl" "jxl" Everywhere, Inline Image false;
    BMP "BMP" "image/bmp" "bmp" Media, Inline Image true;
    ICO "ICO" "image/vnd.microsoft.icon" "ico" Media, Inline Image true;
    TIFF "TIFF" "image/tiff" "tif" Media, Attachment Image false;
    JP2 "JPEG 2000" "image/jp2" "jp2" Media, Attachment Image false;
    JXR "JPEG XR" "image/jxr" "jxr" Media, Attachment Image false;
    PSD "Photoshop" "image/vnd.adobe.photoshop" "psd" Media, Attachment Image false;
    ANIMATED_AVIF "animated AVIF" "image/avif-sequence" "avifs" Nowhere(ANIMATED), Attachment Image false;
    SVG "SVG" "image/svg+xml" "svg" MediaIfAllowed, Attachment Image true;
    PDF "PDF" "application/pdf" "pdf" MediaIfAllowed, Attachment Image true;
    MP4 "MP4, M4V" "video/mp4" "mp4" Media, Inline Video true;
    MOV "QuickTime" "video/quicktime" "mov" Media, Inline Video false;
    THREE_GP "3GP" "video/3gpp" "3gp" Media, Inline Video false;
    THREE_G2 "3G2" "video/3gpp2" "3g2" Media, Inline Video false;
    WEBM "WebM" "video/webm" "webm" Media, Inline Video true;
    MKV "Matroska" "video/x-matroska" "mkv" Media, Inline Video false;
    OGV "Ogg video" "video/ogg" "ogv" Media, Inline Video false;
    AVI "AVI" "video/x-msvideo" "avi" Media, Attachment Video false;
    FLV "Flash video" "video/x-flv" "flv" Media, Attachment Video false;
    WMV "WMV, ASF" "video/x-ms-wmv" "wmv" Media, Attachment Video false;
    TS "MPEG-TS, MTS" "video/mp2t" "ts" Media, Attachment Video false;
    MPEG "MPEG-PS" "video/mpeg" "mpg" Media, Attachment Video false;
    MXF "MXF" "application/mxf" "mxf" Media, Attachment Video false;
    MP3 "MP3" "audio/mpeg" "mp3" Media, Inline Video true;
    M4A "M4A" "audio/mp4" "m4a" Media, Inline Video true;
    AAC "AAC" "audio/aac" "aac" Media, Inline Video true;
    WAV "WAV" "audio/wav" "wav" Media, Inline Video true;
    FLAC "FLAC" "audio/flac" "flac" Media, Inline Video true;
    OGG "Ogg audio, Opus" "audio/ogg" "ogg" Media, Inline Video true;
    AIFF "AIFF" "audio/aiff" "aiff" Media, Attachment Video false;
    AMR "AMR" "audio/amr" "amr" Media, Attachment Video false;
}

/// The type with this content type.
pub fn by_content_type(content_type: &str) -> Option<&'static FileType> {
    TYPES.iter().find(|known| known.content_type == content_type)
}

/// The list as the page about the API has it.
pub fn table() -> String {
    let mut table = String::from("file|type|extension|taken by|from the spool|Cloudinary's\n---|---|---|---|---|---\n");
    for known in TYPES {
        let taken = match known.taken {
            Everywhere => "all",
            Media => "media",
            MediaIfAllowed => "`MEDIA_EXTRA_TYPES`",
            Nowhere(_) => "none",
        };
        let shown = match known.shown {
            Shown::Inline => "inline",
            Shown::Attachment => "attachment",
        };
        let FileType { name, content_type, extension, kind, .. } = known;
        let _ = writeln!(table, "{name}|`{content_type}`|{extension}|{taken}|{shown}|{}", kind.as_str());
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_content_type_is_in_the_list_once_and_found_there() {
        let all: BTreeSet<&str> = TYPES.iter().map(|known| known.content_type).collect();
        assert_eq!(all.len(), TYPES.len());
        for known in TYPES {
            assert_eq!(by_content_type(known.content_type), Some(known));
        }
        assert_eq!(by_content_type("text/html"), None);
    }

    #[test]
    fn what_may_hold_programs_is_never_shown_inline_and_taken_only_if_allowed() {
        for content_type in ["image/svg+xml", "application/pdf"] {
            let known = by_content_type(content_type).expect("a type");
            assert_eq!((known.taken, known.shown), (MediaIfAllowed, Shown::Attachment), "{content_type}");
        }
    }
}
