//! Names and addresses at the media host.

use std::fmt::Write as _;

use messages::AssetId;

use crate::StoredMedia;

/// Our id in a name that we gave: see [`crate::public_id`].
pub(super) fn id_in(public_id: &str) -> Option<AssetId> {
    let (_, name) = public_id.strip_prefix("steep/")?.split_once('/')?;
    name.split('-').next()?.parse().ok()
}

/// The address of what was stored, by another name: what is in front of the version stays, and so does the extension. None if it has no
/// version in it.
pub(super) fn address(stored: &StoredMedia, name: &str) -> Option<String> {
    let version = format!("/v{}/", stored.version);
    let (host, former) = stored.url.split_once(&version)?;
    let mut url = format!("{host}{version}");
    for byte in name.bytes() {
        // What needs no escape in a path (RFC 3986, section 3.3).
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // A string takes everything.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    let extension = stored.format.as_ref().map(|format| format!(".{format}"));
    url.extend(extension.filter(|extension| former.ends_with(extension.as_str())));
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    #[test]
    fn an_address_follows_the_name_and_keeps_the_rest() {
        let stored = |url: &str, format: Option<&str>| StoredMedia {
            url: url.to_owned(),
            version: 17,
            asset_id: "a".to_owned(),
            width: None,
            height: None,
            format: format.map(str::to_owned),
            duration: None,
        };
        for (url, format, name, expected) in [
            (
                "https://h/demo/image/upload/v17/steep/avatar/0.jpg",
                Some("jpg"),
                "b/c",
                "https://h/demo/image/upload/v17/b/c.jpg",
            ),
            (
                "https://h/d/image/upload/f_auto/v17/a.heic",
                Some("heic"),
                "b",
                "https://h/d/image/upload/f_auto/v17/b.heic",
            ),
            ("https://h/d/raw/upload/v17/a.bin", None, "b.bin", "https://h/d/raw/upload/v17/b.bin"),
            (
                "http://h/d/image/upload/v17/a.jpg",
                Some("jpg"),
                "é ?#/v17/%",
                "http://h/d/image/upload/v17/%C3%A9%20%3F%23/v17/%25.jpg",
            ),
        ] {
            assert_eq!(address(&stored(url, format), name).as_deref(), Some(expected));
        }
        assert_eq!(address(&stored("https://h/d/image/upload/a.jpg", Some("jpg")), "b"), None);
    }

    #[test]
    fn a_name_that_we_gave_tells_whose_it_is() {
        let id = AssetId::from_bytes([7; 12]);
        for role in [Role::Avatar, Role::CoverImage, Role::Media] {
            let name = crate::public_id(role, id);
            assert_eq!(id_in(&name), Some(id));
            assert_eq!(id_in(&format!("{name}-12")), Some(id));
        }
        for other in ["", "steep", "steep/avatar", "steep/avatar/me", "other/avatar/070707070707070707070707"] {
            assert_eq!(id_in(other), None, "{other}");
        }
    }
}
