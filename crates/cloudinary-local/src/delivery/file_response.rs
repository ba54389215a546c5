//! A file as a response: whole, one range of it, or 304.
//!
//! tower-http serves the file. The ETag is ours, because Cloudinary's is the MD5 of the bytes, and so are the two
//! conditions that compare it: `If-None-Match` and `If-Range`.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ETAG, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeFile;

/// The response for the file at `path`; `None` if there is none. Several ranges in one request count as none.
pub(crate) async fn respond(
    path: &Path,
    md5: &str,
    modified: SystemTime,
    parts: &Parts,
) -> io::Result<Option<Response>> {
    let etag = format!("\"{md5}\"");
    let served = if is_known(&parts.headers, &etag) {
        Ok(StatusCode::NOT_MODIFIED.into_response())
    } else {
        serve(path, parts, range(&parts.headers, &etag)).await
    };
    let mut response = match served {
        Ok(response) => response,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for (name, value) in [(ETAG, etag), (LAST_MODIFIED, httpdate::fmt_http_date(modified))] {
        response.headers_mut().insert(name, HeaderValue::from_str(&value).map_err(io::Error::other)?);
    }
    Ok(Some(response))
}

async fn serve(path: &Path, parts: &Parts, range: Option<&HeaderValue>) -> io::Result<Response> {
    let mut request = Request::new(Body::empty());
    request.method_mut().clone_from(&parts.method);
    if let Some(range) = range {
        request.headers_mut().insert(RANGE, range.clone());
    }
    let served = ServeFile::new(path).ignore_multi_range_requests(true).try_call(request).await?;
    // The last 30 bytes of a file of 10 are the file (RFC 9110, section 14.1.2). tower-http refuses them.
    let is_suffix = range.is_some_and(|range| range.as_bytes().starts_with(b"bytes=-") && range != "bytes=-0");
    if served.status() == StatusCode::RANGE_NOT_SATISFIABLE && is_suffix {
        return Box::pin(serve(path, parts, None)).await;
    }
    Ok(served.map(Body::new))
}

/// The range that is asked for. With `If-Range` it counts only for bytes that have not changed.
fn range<'a>(headers: &'a HeaderMap, etag: &str) -> Option<&'a HeaderValue> {
    let changed = headers.get(IF_RANGE).is_some_and(|condition| condition != etag);
    headers.get(RANGE).filter(|range| !changed && range.as_bytes().starts_with(b"bytes="))
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let Some(known) = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()) else { return false };
    known.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
}
