//! A file as a response: whole, in part, or not at all if the client has it.

use std::io::{self, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// How much is read at a time.
const PIECE: usize = 64 * 1024;

/// Which bytes of a file are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    Part { first: u64, last: u64 },
    Unsatisfiable,
}

/// The response for the file at `path`; `None` if there is none. Ranges, conditions and HEAD are as in RFC 9110; of several
/// ranges in one request none is served, which that RFC permits.
pub(crate) async fn respond(
    path: &Path,
    md5: &str,
    modified: SystemTime,
    parts: &Parts,
) -> io::Result<Option<Response>> {
    let mut file = match File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata().await?.len();
    let etag = format!("\"{md5}\"");
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    put(&mut headers, ETAG, &etag);
    put(&mut headers, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    if is_known(&parts.headers, &etag) {
        return Ok(Some((StatusCode::NOT_MODIFIED, headers).into_response()));
    }
    let (status, first, count) = match wanted(&parts.headers, &etag, length) {
        Wanted::All => (StatusCode::OK, 0, length),
        Wanted::Part { first, last } => {
            put(&mut headers, CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"));
            (StatusCode::PARTIAL_CONTENT, first, last - first + 1)
        }
        Wanted::Unsatisfiable => {
            put(&mut headers, CONTENT_RANGE, &format!("bytes */{length}"));
            return Ok(Some((StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response()));
        }
    };
    put(&mut headers, CONTENT_LENGTH, &count.to_string());
    if parts.method == Method::HEAD {
        return Ok(Some((status, headers).into_response()));
    }
    if first > 0 {
        file.seek(SeekFrom::Start(first)).await?;
    }
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(count), PIECE));
    Ok(Some((status, headers, body).into_response()))
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let Some(known) = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()) else { return false };
    known.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
}

fn wanted(headers: &HeaderMap, etag: &str, length: u64) -> Wanted {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(range) = text(RANGE) else { return Wanted::All };
    if text(IF_RANGE).is_some_and(|condition| condition != etag) {
        return Wanted::All;
    }
    parse(range, length).unwrap_or(Wanted::All)
}

/// `None` for what is not one range of bytes; such a header is to be ignored.
fn parse(range: &str, length: u64) -> Option<Wanted> {
    let (first, last) = range.strip_prefix("bytes=")?.trim().split_once('-')?;
    if first.is_empty() {
        let count: u64 = last.parse().ok()?;
        if count == 0 || length == 0 {
            return Some(Wanted::Unsatisfiable);
        }
        return Some(Wanted::Part { first: length.saturating_sub(count), last: length - 1 });
    }
    let first: u64 = first.parse().ok()?;
    let last: u64 = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
    if last < first {
        return None;
    }
    if first >= length {
        return Some(Wanted::Unsatisfiable);
    }
    Some(Wanted::Part { first, last: last.min(length - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        for (text, expected) in [
            ("bytes=0-4", Some(Wanted::Part { first: 0, last: 4 })),
            ("bytes=5-", Some(Wanted::Part { first: 5, last: 9 })),
            ("bytes=-3", Some(Wanted::Part { first: 7, last: 9 })),
            ("bytes=-30", Some(Wanted::Part { first: 0, last: 9 })),
            ("bytes=8-99", Some(Wanted::Part { first: 8, last: 9 })),
            ("bytes=10-", Some(Wanted::Unsatisfiable)),
            ("bytes=-0", Some(Wanted::Unsatisfiable)),
            ("bytes=4-2", None),
            ("bytes=0-1,3-4", None),
            ("items=0-1", None),
        ] {
            assert_eq!(parse(text, 10), expected, "{text}");
        }
        assert_eq!(parse("bytes=0-", 0), Some(Wanted::Unsatisfiable));
    }
}
