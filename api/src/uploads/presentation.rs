//! How uploads of a type are named, and who can show them.

/// The extension at the end of the address of an upload of this type, without the dot. None of a type that is not known.
pub(crate) fn extension(content_type: &str) -> Option<&'static str> {
    let extension = match content_type {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/gif" => "gif",
        "image/webp" => "webp",
        "image/avif" => "avif",
        "image/heic" | "image/heic-sequence" => "heic",
        "image/heif" | "image/heif-sequence" => "heif",
        "image/jxl" => "jxl",
        "image/jp2" => "jp2",
        "image/tiff" => "tiff",
        "image/bmp" => "bmp",
        "video/mp4" => "mp4",
        "video/webm" => "webm",
        "video/quicktime" => "mov",
        "video/x-matroska" | "video/matroska" => "mkv",
        "video/3gpp" => "3gp",
        "video/3gpp2" => "3g2",
        "video/x-msvideo" => "avi",
        "video/mp2t" => "ts",
        "video/mpeg" => "mpg",
        "video/x-flv" => "flv",
        "video/x-ms-wmv" | "video/x-ms-asf" => "wmv",
        "video/ogg" => "ogv",
        "audio/mpeg" => "mp3",
        "audio/mp4" | "audio/m4a" | "audio/x-m4a" => "m4a",
        "audio/wav" | "audio/x-wav" => "wav",
        "audio/flac" | "audio/x-flac" => "flac",
        "audio/ogg" => "ogg",
        _ => return None,
    };
    Some(extension)
}

/// Whether every browser of today shows files of this type.
pub(crate) fn is_shown_by_browsers(content_type: &str) -> bool {
    matches!(
        content_type,
        "image/jpeg"
            | "image/png"
            | "image/gif"
            | "image/webp"
            | "image/avif"
            | "image/bmp"
            | "video/mp4"
            | "video/webm"
            | "audio/mpeg"
            | "audio/mp4"
            | "audio/m4a"
            | "audio/x-m4a"
            | "audio/wav"
            | "audio/x-wav"
            | "audio/flac"
            | "audio/x-flac"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uploads::Accepts;

    #[test]
    fn every_type_that_is_accepted_has_an_extension_of_its_own() {
        let types = Accepts::IMAGES_AND_VIDEOS.content_types;
        let mut extensions: Vec<_> =
            types.iter().map(|accepted| extension(accepted).unwrap_or_else(|| panic!("{accepted} has none"))).collect();
        extensions.sort_unstable();
        extensions.dedup();
        assert_eq!(extensions.len(), types.len());
        // The address of an upload ends with it.
        assert!(extensions.iter().all(|extension| extension.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        assert_eq!(extension("text/html"), None);
    }
}
