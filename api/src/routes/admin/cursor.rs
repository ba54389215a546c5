//! Cursors of lists that are sorted by a time and then an id: where a part ends, and which list it is a part of.

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// Nanoseconds in a millisecond.
const MILLISECOND: i128 = 1_000_000;
/// Hexadecimal digits that tell the list.
const TAG: usize = 16;
/// Hexadecimal digits of a time.
const TIME: usize = 16;

/// A cursor of a list. `list`: its name, and all of its filters in one order. Nobody has to keep it secret; who makes one up gets another
/// part of the same list. `id`: of hexadecimal digits and hyphens.
pub(crate) fn write(list: &str, at: OffsetDateTime, id: &str) -> String {
    let milliseconds = i64::try_from(at.unix_timestamp_nanos() / MILLISECOND).unwrap_or_default();
    format!("{}{milliseconds:016x}{id}", tag(list))
}

/// Reads a cursor of this very list. The id is text that the caller parses.
pub(crate) fn read<'a>(list: &str, text: &'a str) -> Option<(OffsetDateTime, &'a str)> {
    let (found, rest) = text.split_at_checked(TAG)?;
    if found != tag(list) {
        return None;
    }
    let (time, id) = rest.split_at_checked(TIME)?;
    if !time.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let milliseconds = u64::from_str_radix(time, 16).ok()?.cast_signed();
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * MILLISECOND).ok()?;
    Some((at, id))
}

/// What tells a list from every other one.
fn tag(list: &str) -> String {
    hex::encode(&Sha256::digest(list)[..TAG / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "65a1b2c3d4e5f60718293a01";

    fn at(milliseconds: i128) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(milliseconds * MILLISECOND).expect("a time")
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_by_no_other_list() {
        for milliseconds in [-1, 0, 1_700_000_000_123] {
            let text = write("audit", at(milliseconds), ID);
            assert_eq!(read("audit", &text), Some((at(milliseconds), ID)));
            assert_eq!(read("audit ", &text), None);
        }
    }

    #[test]
    fn any_other_text_is_none() {
        let text = write("audit", at(0), ID);
        let longest = format!("{}{}{ID}", tag("audit"), "7f".repeat(8));
        for text in
            ["", "last", "ä", &text[1..], &text[..31], &text.replace('0', "g"), &longest, "ääääääääääääääääääääää"]
        {
            assert_eq!(read("audit", text), None, "{text}");
        }
    }
}
