//! What makes two failures the same: the kind of the job, what it ran into for programs, and the text without what differs each time.

use std::fmt;
use std::str::FromStr;

use serde_with::{DeserializeFromStr, SerializeDisplay};
use sha2::{Digest, Sha256};

/// Characters of a text that count.
const LONGEST: usize = 200;
/// Characters of a text that are looked at.
const LOOKED_AT: usize = 2_000;
/// Digits of the shortest hexadecimal number that is an id and not a number or a word.
const SHORTEST_ID: usize = 8;

/// Names a group: 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, SerializeDisplay, DeserializeFromStr)]
pub struct ErrorGroupId(u64);

impl ErrorGroupId {
    /// Of what does not differ each time. The answer is permanent: groups are found by it.
    pub(crate) fn of(kind: &str, code: &str, status: Option<u16>, message: &str) -> Self {
        let status = status.map(|status| status.to_string()).unwrap_or_default();
        let hash = Sha256::digest([kind, code, &status, message].join("\n"));
        Self(hash.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte)))
    }
}

impl fmt::Display for ErrorGroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Text that is not the name of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 16 hexadecimal digits")]
pub struct NoErrorGroupId;

impl FromStr for ErrorGroupId {
    type Err = NoErrorGroupId;

    fn from_str(text: &str) -> Result<Self, NoErrorGroupId> {
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoErrorGroupId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NoErrorGroupId)
    }
}

/// A text without what differs each time: numbers, ids, addresses and what stands in quotes have placeholders. At most 200 characters
/// of it.
pub(crate) fn normalised(text: &str) -> String {
    let text: Vec<char> = text.chars().take(LOOKED_AT).collect();
    let (mut rest, mut message, mut before) = (text.as_slice(), String::new(), ' ');
    while let Some(&first) = rest.first() {
        let length = if let Some(length) = quoted(rest, before) {
            message.push_str("<text>");
            length
        } else if first.is_alphanumeric() || first == '[' {
            let word = word(rest);
            if word.is_empty() {
                message.push(first);
                1
            } else {
                push_word(word, &mut message);
                word.len()
            }
        } else if first.is_whitespace() || first.is_control() {
            if !message.ends_with(' ') && !message.is_empty() {
                message.push(' ');
            }
            1
        } else {
            message.push(first);
            1
        };
        before = rest.get(length - 1).copied().unwrap_or(' ');
        rest = rest.get(length..).unwrap_or_default();
    }
    message.truncate(message.trim_end().len());
    match message.char_indices().nth(LONGEST) {
        Some((end, _)) => message.get(..end).unwrap_or_default().to_owned(),
        None => message,
    }
}

/// How long what stands in quotes is, with them, if a text begins with it. An apostrophe is in a word, and no quote.
fn quoted(text: &[char], before: char) -> Option<usize> {
    let quote = *text.first().filter(|quote| matches!(quote, '"' | '\'' | '`'))?;
    if before.is_alphanumeric() {
        return None;
    }
    let ends = |(at, one): &(usize, &char)| {
        // Behind the closing one no word goes on.
        **one == quote && !text.get(at + 1).is_some_and(|next| quote == '\'' && next.is_alphanumeric())
    };
    text.iter().enumerate().skip(1).find(ends).map(|(at, _)| at + 1)
}

/// The word, number, id or address that a text begins with, without what ends a sentence behind it.
fn word(text: &[char]) -> &[char] {
    let is_in = |one: &char| one.is_alphanumeric() || "-_.:/@%?=&#+~[]".contains(*one);
    let end = text.iter().position(|one| !is_in(one)).unwrap_or(text.len());
    let word = text.get(..end).unwrap_or_default();
    let last = word.iter().rposition(|one| one.is_alphanumeric() || matches!(one, '/' | '=' | ']'));
    word.get(..last.map_or(0, |last| last + 1)).unwrap_or_default()
}

fn push_word(word: &[char], message: &mut String) {
    let text: String = word.iter().collect();
    if text.contains("://") || text.contains('@') || is_address(&text) {
        message.push_str("<address>");
        return;
    }
    // In pieces, since an id may stand in a path or behind a name.
    for piece in word.split_inclusive(|one| !one.is_alphanumeric() && *one != '-') {
        let (piece, behind) = match piece.split_last() {
            Some((last, before)) if !last.is_alphanumeric() && *last != '-' => (before, Some(last)),
            _ => (piece, None),
        };
        if is_uuid(piece) {
            message.push_str("<id>");
        } else {
            for part in piece.split_inclusive(|one| *one == '-') {
                push_part(part, message);
            }
        }
        message.extend(behind);
    }
}

fn is_address(text: &str) -> bool {
    let text = text.trim_end_matches(['/']);
    text.parse::<std::net::SocketAddr>().is_ok() || text.parse::<std::net::IpAddr>().is_ok()
}

fn is_uuid(piece: &[char]) -> bool {
    let is_right = |(at, one): (usize, &char)| match at {
        8 | 13 | 18 | 23 => *one == '-',
        _ => one.is_ascii_hexdigit(),
    };
    piece.len() == 36 && piece.iter().enumerate().all(is_right)
}

/// Letters and digits, and perhaps a `-` behind them.
fn push_part(part: &[char], message: &mut String) {
    let (part, behind) = match part.split_last() {
        Some(('-', before)) => (before, "-"),
        _ => (part, ""),
    };
    let has_digit = part.iter().any(char::is_ascii_digit);
    let has_letter = part.iter().any(|one| one.is_alphabetic());
    let is_hexadecimal = part.len() >= SHORTEST_ID && part.iter().all(char::is_ascii_hexdigit);
    if has_digit && has_letter && (is_hexadecimal || part.len() >= 2 * SHORTEST_ID) {
        message.push_str("<id>");
    } else {
        let mut in_number = false;
        for one in part {
            let is_digit = one.is_numeric();
            match (is_digit, in_number) {
                (true, false) => message.push_str("<n>"),
                (true, true) => {}
                (false, _) => message.push(*one),
            }
            in_number = is_digit;
        }
    }
    message.push_str(behind);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_each_time_has_a_placeholder() {
        for (text, message) in [
            ("the media host answered 503", "the media host answered <n>"),
            ("no answer within 30.5s, then 1,024 bytes", "no answer within <n>.<n>s, then <n>,<n> bytes"),
            ("asset 65a1b2c3d4e5f60718293a01 is gone.", "asset <id> is gone."),
            ("job 019389a0-0000-7000-8000-000000000001: file lost", "job <id>: file lost"),
            (
                "/spool/ready/019389A0-0000-7000-8000-000000000001: No such file (os error 2)",
                "/spool/ready/<id>: No such file (os error <n>)",
            ),
            ("steep/media/65a1b2c3d4e5f60718293a01-3 exists", "steep/media/<id>-<n> exists"),
            ("id=f00dfeed1234, next", "id=<id>, next"),
            ("connect to 10.0.0.7:27017 failed", "connect to <address> failed"),
            ("connect to [fe80::1]:443: refused", "connect to <address>: refused"),
            ("GET https://api.example.com/v1/x?y=1: timed out", "GET <address>: timed out"),
            ("mail to grace@example.com bounced", "mail to <address> bounced"),
            ("cannot open \"me \u{202e} 7.png\": it isn't there", "cannot open <text>: it isn't there"),
            ("the worker's lease of 'node-1' and `x`", "the worker's lease of <text> and <text>"),
            ("deadbeef is a word, 12345678 is a number", "deadbeef is a word, <n> is a number"),
            ("worker b1gw0rkern4me12345 is away", "worker <id> is away"),
            ("two\n\tlines  and more ", "two lines and more"),
            ("an open \" quote and ' too", "an open \" quote and ' too"),
            ("[] . [x] 4[", "[] . [x] <n>["),
            ("", ""),
        ] {
            assert_eq!(normalised(text), message, "{text}");
        }
    }

    #[test]
    fn a_text_without_end_is_cut() {
        for text in ["x ".repeat(100_000), "é".repeat(100_000), "\"".repeat(100_001), "7 ".repeat(1_000_000)] {
            assert!(normalised(&text).chars().count() <= LONGEST);
        }
    }

    #[test]
    fn a_group_is_written_and_read_as_sixteen_digits_and_stays_what_it_is() {
        let group = ErrorGroupId::of("media.upload.v1", "media-host-busy", Some(503), "the media host answered <n>");
        assert_eq!(group.to_string(), "2a4a5e0000f65dbd");
        assert_eq!(group.to_string().parse(), Ok(group));
        for text in ["", "2a4a5e0000f65db", "2a4a5e0000f65dbd1", "+a4a5e0000f65dbd", "2a4a5e0000f65dbg"] {
            assert_eq!(text.parse::<ErrorGroupId>(), Err(NoErrorGroupId), "{text}");
        }
        for other in [
            ErrorGroupId::of("media.delete.v1", "media-host-busy", Some(503), "the media host answered <n>"),
            ErrorGroupId::of("media.upload.v1", "media-host-failed", Some(503), "the media host answered <n>"),
            ErrorGroupId::of("media.upload.v1", "media-host-busy", Some(423), "the media host answered <n>"),
            ErrorGroupId::of("media.upload.v1", "media-host-busy", Some(503), "the media host is away"),
        ] {
            assert_ne!(group, other);
        }
    }
}
