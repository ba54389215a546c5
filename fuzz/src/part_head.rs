//! What a part of a form says of itself, as the API reads it: the very source, since nobody else has a use for it.

#[path = "../../api/src/uploads/disposition.rs"]
mod disposition;

use disposition::Disposition;

/// Reads a `Content-Disposition`, and what was read once more as a careful client would write it.
///
/// # Panics
///
/// When the two differ, or more was read than is there.
pub fn read(header: &[u8]) {
    let read = Disposition::parse(header);
    for text in [&read.name, &read.file_name].into_iter().flatten() {
        // Latin-1 takes twice as many bytes in UTF-8.
        assert!(text.len() <= 2 * header.len(), "{text:?}");
    }
    let again = Disposition::parse(written(&read).as_bytes());
    assert_eq!(again, read);
}

fn written(read: &Disposition) -> String {
    let mut header = "form-data".to_owned();
    if let Some(name) = &read.name {
        let escaped = name.replace('\\', "\\\\").replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        header.push_str(&format!("; name=\"{escaped}\""));
    }
    if let Some(file_name) = &read.file_name {
        let encoded: String = file_name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        header.push_str(&format!("; filename=\"\"; filename*=UTF-8''{encoded}"));
    }
    header
}
