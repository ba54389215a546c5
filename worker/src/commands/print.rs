//! Text for a person's terminal. What comes from outside is never let through as it is: it could move the cursor or hide.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Bytes of a body in one line of a dump.
const DUMPED: usize = 16;

/// Writes to standard output. Whoever closed it early, as `head` does, has seen enough.
pub(super) fn out(bytes: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

pub(super) fn line(text: &str) -> anyhow::Result<()> {
    out(format!("{text}\n").as_bytes())
}

/// Why a command did not do what it was for, in one line.
pub(super) fn failure(error: &anyhow::Error) {
    // If nobody reads it there is nobody to tell.
    let _ = writeln!(io::stderr(), "worker: {error:#}");
}

/// Rows under a head, each column as wide as its widest cell and the last one as it comes.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> anyhow::Result<()> {
    let head = head.map(str::to_owned);
    let rows: Vec<&[String; N]> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let line: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    out(text.as_bytes())
}

/// A time as people and programs read it.
pub(super) fn time(at: OffsetDateTime) -> String {
    let second = at.replace_nanosecond(0).unwrap_or(at);
    second.format(&Rfc3339).unwrap_or_else(|_| "-".to_owned())
}

/// Text in one line, with everything escaped that is not plainly visible.
pub(super) fn visible(text: &str) -> String {
    text.chars().flat_map(|char| shown(char, &[])).collect()
}

/// A body: text as it is, with what is not plainly visible escaped; anything else as hexadecimal digits.
pub(super) fn body(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().flat_map(|char| shown(char, &['\n', '\t'])).chain(['\n']).collect(),
        Err(_) => dump(bytes),
    }
}

fn shown(char: char, allowed: &[char]) -> Vec<char> {
    // Those that turn the direction of text around hide as well as control characters do (Unicode TR 36, section 2.5).
    let hides = char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if hides && !allowed.contains(&char) { char.escape_unicode().collect() } else { vec![char] }
}

fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (index, row) in bytes.chunks(DUMPED).enumerate() {
        let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let plain: String =
            row.iter().map(|&byte| if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '.' }).collect();
        let _ = writeln!(text, "{:08x}  {:47}  {plain}", index * DUMPED, hex.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_text_is_shown_as_it_is_but_for_what_hides() {
        assert_eq!(body(b"{\"a\":\n\t1}"), "{\"a\":\n\t1}\n");
        assert_eq!(body("é\u{1b}[2J\u{202e}".as_bytes()), "é\\u{1b}[2J\\u{202e}\n");
        assert_eq!(visible("two\nlines"), "two\\u{a}lines");
    }

    #[test]
    fn a_body_that_is_noise_is_shown_in_hexadecimal_digits() {
        let noise: Vec<u8> = (0xef..=0xff).collect();
        let text = body(&noise);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "00000000  ef f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 fa fb fc fd fe  ................");
        assert!(lines[1].starts_with("00000010  ff ") && lines[1].ends_with("  ."), "{}", lines[1]);
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn times_are_written_to_the_second() {
        let at = OffsetDateTime::UNIX_EPOCH + std::time::Duration::from_millis(1_500);
        assert_eq!(time(at), "1970-01-01T00:00:01Z");
    }
}
