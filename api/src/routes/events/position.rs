//! How far a stream has told: the ids of its events.

use std::fmt;

use axum::http::{HeaderMap, HeaderName};
use time::OffsetDateTime;

use crate::http::Problem;

const HEADER: HeaderName = HeaderName::from_static("last-event-id");
/// Milliseconds have thirteen digits, until the year 2286.
const MAX_DIGITS: usize = 15;

/// A moment by the database's clock, in milliseconds since 1970. Of a user's stream: everything that changed before it was told. Of a
/// job's: the job's `updatedAt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(i64);

impl Position {
    pub(super) fn at(time: OffsetDateTime) -> Self {
        Self(i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
    }

    pub(super) fn time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// The id of the last event that a client has, if it comes again. An empty one is none.
    pub(super) fn of_client(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut given = headers.get_all(HEADER).iter();
        let Some(text) = given.next() else { return Ok(None) };
        let text = text.to_str().unwrap_or("?").trim();
        let is_number = text.len() <= MAX_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if is_number && given.next().is_none() => Ok(Some(Self(number))),
            _ if text.is_empty() && given.next().is_none() => Ok(None),
            _ => Err(Problem::invalid("Last-Event-ID", "must be the id of an event of this stream")),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn given(texts: &[&str]) -> Result<Option<Position>, Problem> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(HEADER, HeaderValue::from_bytes(text.as_bytes()).expect("a header"));
        }
        Position::of_client(&headers)
    }

    #[test]
    fn an_id_is_read_as_it_was_told() {
        let position =
            Position::at(OffsetDateTime::from_unix_timestamp_nanos(1_764_478_430_123_456_789).expect("a time"));
        assert_eq!(position.to_string(), "1764478430123");
        assert_eq!(given(&["1764478430123"]).expect("an id"), Some(position));
        assert_eq!(Position::at(position.time()), position);
        assert_eq!(given(&[]).expect("nothing wrong"), None);
        assert_eq!(given(&[""]).expect("nothing wrong"), None);
    }

    #[test]
    fn what_was_never_told_is_refused() {
        for texts in [&["x"][..], &["-1"], &["+1"], &["1.5"], &["1764478430123000"], &["ä"], &["1", "2"], &["", ""]] {
            assert!(given(texts).is_err(), "{texts:?}");
        }
    }
}
