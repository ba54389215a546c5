//! Text for a person's terminal. Everything is escaped here, so that no command lets through what comes from outside: from the
//! database, the broker, an error. It could move the cursor, write a title, or hide.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use program::{visible, visible_lines};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Bytes of a body in one line of a dump.
const DUMPED: usize = 16;
/// Characters of the last cell in a row of a table: more than any reason of ours has.
const CELL: usize = 1_000;
/// Characters of any other, as wide as which every row is: more than any id, kind or queue of ours has.
const INNER_CELL: usize = 100;

/// Writes bytes to standard output as they are: for those who asked for that. Whoever closed it early, as `head` does, has
/// seen enough.
pub(super) fn raw(bytes: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// One line, whatever is in the text.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    raw(format!("{}\n", visible(text)).as_bytes())
}

/// For programs. What is no ASCII is escaped, as JSON may be, so that a terminal shows it as it is.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    raw(format!("{}\n", plain(&text)).as_bytes())
}

fn plain(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for one in json.chars() {
        if one.is_ascii() && one != '\u{7f}' {
            text.push(one);
            continue;
        }
        for unit in one.encode_utf16(&mut [0; 2]) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// Why a command did not do what it was for, in one line.
pub(super) fn failure(error: &anyhow::Error) {
    // If nobody reads it there is nobody to tell.
    let _ = writeln!(io::stderr(), "worker: {}", visible(&format!("{error:#}")));
}

/// Rows under a head, each column as wide as its widest cell and the last one as it comes.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> anyhow::Result<()> {
    raw(arranged(head, rows).as_bytes())
}

fn arranged<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let limit = |column: usize| if column + 1 < N { INNER_CELL } else { CELL };
    let shown = |row: &[String; N]| std::array::from_fn(|column| shortened(&visible(&row[column]), limit(column)));
    let rows = rows.iter().map(shown);
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let line: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A cell that a stranger filled makes no table of screens.
fn shortened(cell: &str, limit: usize) -> String {
    match cell.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", cell.get(..end).unwrap_or_default()),
        None => cell.to_owned(),
    }
}

/// A time as people and programs read it.
pub(super) fn time(at: OffsetDateTime) -> String {
    let second = at.replace_nanosecond(0).unwrap_or(at);
    second.format(&Rfc3339).unwrap_or_else(|_| "-".to_owned())
}

/// A body, in as many lines as it has: text as it is, with what is not plainly visible escaped; anything else as hexadecimal
/// digits.
pub(super) fn body(bytes: &[u8]) -> anyhow::Result<()> {
    raw(readable(bytes).as_bytes())
}

fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => visible_lines(text) + "\n",
        Err(_) => dump(bytes),
    }
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
        assert_eq!(readable(b"{\"a\":\n\t1}"), "{\"a\":\n\t1}\n");
        assert_eq!(readable("é\u{1b}[2J\u{202e}".as_bytes()), "é\\u{1b}[2J\\u{202e}\n");
    }

    #[test]
    fn json_is_what_it_was_and_nothing_in_it_reaches_a_terminal() {
        let value = serde_json::json!({ "a": "é\u{202e}\u{9b}2J\u{7f}\u{1b}\u{1f600}\n" });
        let text = plain(&value.to_string());
        assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }

    #[test]
    fn a_row_is_one_line_whatever_is_in_its_cells() {
        let row = ["\u{1b}]0;pwned\u{7}\u{1b}[2J".to_owned(), "two\nlines".to_owned()];
        assert_eq!(
            arranged(["KIND", "REASON"], &[row]).lines().nth(1),
            Some("\\u{1b}]0;pwned\\u{7}\\u{1b}[2J  two\\u{a}lines")
        );
        let long = arranged(["REASON"], &[["x".repeat(3_000_000)]]);
        assert!(long.chars().count() < 1_100 && long.ends_with("x…\n"), "{}", long.len());
        let long = ["x".repeat(3_000_000), "y".to_owned()];
        let wide = arranged(["KIND", "REASON"], &[long, ["a".to_owned(), "b".to_owned()]]);
        assert!(wide.lines().all(|line| line.chars().count() < 120) && wide.contains("x…  y\n"), "{}", wide.len());
    }

    #[test]
    fn a_body_that_is_noise_is_shown_in_hexadecimal_digits() {
        let noise: Vec<u8> = (0xef..=0xff).collect();
        let text = readable(&noise);
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
