//! The rules for public ids, from Cloudinary's upload reference.

use uuid::Uuid;

use crate::assets::ResourceType;

const MAX_CHARS: usize = 255;
const FORBIDDEN: [char; 9] = ['?', '&', '#', '\\', '%', '<', '>', '+', '\u{7f}'];

/// Why a public id is refused; `None` if it is valid.
pub(crate) fn problem(public_id: &str) -> Option<&'static str> {
    if public_id.is_empty() {
        return Some("it is empty");
    }
    if public_id.chars().count() > MAX_CHARS {
        return Some("it is longer than 255 characters");
    }
    if public_id.starts_with(['/', ' ']) || public_id.ends_with(['/', ' ']) {
        return Some("it starts or ends with a slash or a space");
    }
    if public_id.contains(forbidden) {
        return Some("it contains one of ? & # \\ % < > + or a control character");
    }
    if public_id.split('/').any(is_version) {
        return Some("a part of it looks like a version");
    }
    if public_id.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Some("a part of it is empty or only dots");
    }
    None
}

fn forbidden(c: char) -> bool {
    c.is_control() || FORBIDDEN.contains(&c)
}

/// Such as `v1312461204`.
pub(crate) fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// 20 random lower-case letters and digits, as Cloudinary gives.
pub(crate) fn random() -> String {
    random_chars(20)
}

/// At most 25.
fn random_chars(count: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut number = Uuid::new_v4().as_u128() ^ Uuid::new_v4().as_u128().rotate_left(64);
    let mut text = String::with_capacity(count);
    for _ in 0..count {
        let digit = usize::try_from(number % 36).unwrap_or_default();
        number /= 36;
        text.push(char::from(ALPHABET.get(digit).copied().unwrap_or(b'a')));
    }
    text
}

/// What `use_filename` makes of a file name: forbidden characters become `_`, and the extension goes unless
/// the asset is raw. `unique` appends six random characters.
pub(crate) fn from_filename(filename: &str, resource_type: ResourceType, unique: bool) -> String {
    let (stem, extension) = split_extension(base_name(filename));
    let clean = |text: &str| text.replace(|c: char| forbidden(c) || c == '/', "_");
    let mut id = clean(stem.trim_matches([' ', '_']));
    if id.is_empty() {
        id = "file".to_owned();
    }
    if unique {
        id.push('_');
        id.push_str(&random_chars(6));
    }
    if resource_type == ResourceType::Raw
        && let Some(extension) = extension
    {
        id.push('.');
        id.push_str(&clean(extension));
    }
    id
}

/// Without folders, whichever slash separates them.
pub(crate) fn base_name(filename: &str) -> &str {
    filename.rsplit(['/', '\\']).next().unwrap_or(filename)
}

pub(crate) fn split_extension(filename: &str) -> (&str, Option<&str>) {
    match filename.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !extension.is_empty() => (stem, Some(extension)),
        _ => (filename, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_ids_are_accepted() {
        for id in ["a", "user/42/avatar", "dir/naïve 日本", "v1x", "value", "v", "big.bin", "a-b_c.d"] {
            assert_eq!(problem(id), None, "{id}");
        }
    }

    #[test]
    fn ids_that_break_a_rule_are_refused() {
        let long = "x".repeat(256);
        for id in
            ["", "/a", "a/", " a", "a ", "a?b", "a&b", "a%2Fb", "a\\b", "a\nb", "v1/a", "a/v123", "a//b", "../a", &long]
        {
            assert!(problem(id).is_some(), "{id:?}");
        }
        assert_eq!(problem(&"é".repeat(255)), None);
    }

    #[test]
    fn a_file_name_becomes_an_id() {
        assert_eq!(from_filename("/tmp/My pic?.png", ResourceType::Image, false), "My pic_");
        assert_eq!(from_filename("C:\\x\\report.v2.pdf", ResourceType::Raw, false), "report.v2.pdf");
        assert_eq!(from_filename(".png", ResourceType::Image, false), ".png");
        assert_eq!(from_filename("", ResourceType::Image, false), "file");
        let unique = from_filename("doc.txt", ResourceType::Raw, true);
        assert!(unique.starts_with("doc_") && unique.ends_with(".txt") && unique.len() == 14, "{unique}");
    }

    #[test]
    fn random_ids_are_valid_and_differ() {
        let (one, two) = (random(), random());
        assert_eq!(one.len(), 20);
        assert_eq!(problem(&one), None);
        assert_ne!(one, two);
    }
}
