//! The `Content-Range` header of a chunk.

use std::str::FromStr;

use axum::http::HeaderMap;
use axum::http::header::CONTENT_RANGE;

use crate::http::refusal::Refusal;

const PART_NUMBER: &str = "x-upload-part-number";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub first: u64,
    pub len: u64,
    /// Clients that read from a stream know it only with the last chunk. Before, they send `-1`, `*` or nothing.
    pub total: Option<u64>,
}

impl ContentRange {
    pub(crate) fn end(self) -> u64 {
        self.first.saturating_add(self.len)
    }

    pub(crate) fn is_last(self) -> bool {
        self.total == Some(self.end())
    }
}

impl FromStr for ContentRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "expected bytes <first>-<last>/<total>";
        let range = text.strip_prefix("bytes ").ok_or(FORM)?.trim();
        if range == "0--1/0" {
            return Ok(Self { first: 0, len: 0, total: Some(0) });
        }
        let (range, total) = match range.split_once('/') {
            None | Some((_, "-1" | "*")) => (range.split('/').next().unwrap_or_default(), None),
            Some((range, total)) => (range, Some(total.parse::<u64>().map_err(|_| FORM)?)),
        };
        let (first, last) = range.split_once('-').ok_or(FORM)?;
        let (first, last): (u64, u64) = (first.parse().map_err(|_| FORM)?, last.parse().map_err(|_| FORM)?);
        if last < first {
            return Err("the last byte lies before the first");
        }
        if total.is_some_and(|total| last >= total) {
            return Err("the last byte lies beyond the total");
        }
        let len = (last - first).checked_add(1).ok_or(FORM)?;
        Ok(Self { first, len, total })
    }
}

/// The range of a chunk; `None` for a whole file.
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<ContentRange>, Refusal> {
    let Some(value) = headers.get(CONTENT_RANGE) else {
        if headers.contains_key(PART_NUMBER) {
            return Err(Refusal::bad_request("X-Upload-Part-Number is not supported; send Content-Range"));
        }
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    text.parse().map(Some).map_err(|reason| Refusal::bad_request(format!("Invalid Content-Range {text}: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, len: u64, total: Option<u64>) -> ContentRange {
        ContentRange { first, len, total }
    }

    #[test]
    fn ranges_are_understood_in_every_sdks_spelling() {
        for (text, expected) in [
            ("bytes 0-999/2500", range(0, 1000, Some(2500))),
            ("bytes 0-999/-1", range(0, 1000, None)),
            ("bytes 1000-1999/*", range(1000, 1000, None)),
            ("bytes 0-0", range(0, 1, None)),
            ("bytes 0--1/0", range(0, 0, Some(0))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn impossible_ranges_are_refused() {
        let texts = [
            "",
            "0-1/2",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "bytes a-b/c",
            "bytes 0/10",
            "bytes 0--1/5",
            "bytes -1-3/5",
            "bytes 0-18446744073709551615/-1",
        ];
        for text in texts {
            assert!(text.parse::<ContentRange>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_the_chunk_that_reaches_the_total_is_the_last() {
        assert!(range(1000, 1000, Some(2000)).is_last());
        assert!(range(0, 0, Some(0)).is_last());
        assert!(!range(0, 1000, Some(2000)).is_last());
        assert!(!range(1000, 1000, None).is_last());
    }
}
