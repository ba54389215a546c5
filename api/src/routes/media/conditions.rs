//! What a request makes depend on the bytes that it has already, and which of them it asks for (RFC 9110, sections 13 and 14).
//!
//! The tag is the asset's id, since its bytes never change: it stays the same when they move. Whoever goes on with a download then
//! gets all of it, or 412 with `If-Match`, because Cloudinary's tag is another. Of what an earlier version accepted it is the MD5, which is Cloudinary's.

use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum_extra::headers::{
    ETag, Header, HeaderMapExt, IfMatch, IfModifiedSince, IfNoneMatch, IfRange, IfUnmodifiedSince, LastModified,
};
use store::Asset;
use time::OffsetDateTime;

use crate::http::Problem;

/// The bytes of an upload, which never change.
pub(super) struct Version {
    etag: ETag,
    last_modified: SystemTime,
    bytes: u64,
}

impl Version {
    pub(super) fn of(asset: &Asset) -> Result<Self, Problem> {
        let tag = if asset.md5.is_empty() { asset.id.to_string() } else { asset.md5.clone() };
        Ok(Self {
            etag: format!("\"{tag}\"").parse().map_err(Problem::internal)?,
            // HTTP has no earlier time.
            last_modified: asset.created_at.max(OffsetDateTime::UNIX_EPOCH).into(),
            bytes: asset.bytes,
        })
    }

    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        headers.typed_insert(self.etag.clone());
        headers.typed_insert(LastModified::from(self.last_modified));
    }

    /// The answer to a request whose conditions do not hold: 412, or 304 if the client has the bytes. A date counts only
    /// without a tag of the same meaning.
    pub(super) fn refuses(&self, request: &HeaderMap) -> Option<StatusCode> {
        let is_ours = match condition::<IfMatch>(request) {
            Some(tags) => tags.precondition_passes(&self.etag),
            None => condition::<IfUnmodifiedSince>(request)
                .is_none_or(|since| since.precondition_passes(self.last_modified)),
        };
        let is_new = match condition::<IfNoneMatch>(request) {
            Some(tags) => tags.precondition_passes(&self.etag),
            None => condition::<IfModifiedSince>(request).is_none_or(|since| since.is_modified(self.last_modified)),
        };
        match (is_ours, is_new) {
            (false, _) => Some(StatusCode::PRECONDITION_FAILED),
            (true, false) => Some(StatusCode::NOT_MODIFIED),
            (true, true) => None,
        }
    }

    /// The range that is asked for, as tower-http takes it. None if it is in another unit than bytes, or of other bytes
    /// (`If-Range`).
    pub(super) fn range(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let set = request.get(header::RANGE)?.to_str().ok()?;
        let (unit, set) = set.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") || !self.is_what_the_range_is_of(request) {
            return None;
        }
        // The last 30 bytes of 10 are all ten. tower-http refuses them.
        let suffix = set.trim().strip_prefix('-').filter(|suffix| is_number(suffix));
        let is_all = suffix.is_some_and(|suffix| suffix.parse::<u64>().map_or(true, |count| count > self.bytes));
        if is_all { Some(HeaderValue::from_static("bytes=0-")) } else { format!("bytes={}", set.trim()).parse().ok() }
    }

    fn is_what_the_range_is_of(&self, request: &HeaderMap) -> bool {
        if !request.contains_key(header::IF_RANGE) {
            return true;
        }
        let last_modified = LastModified::from(self.last_modified);
        let condition = condition::<IfRange>(request);
        condition.is_some_and(|condition| !condition.is_modified(Some(&self.etag), Some(&last_modified)))
    }
}

/// None if there is none, or one that no tag is made of: `headers` looks for that in debug builds alone, and panics.
fn condition<H: Header>(request: &HeaderMap) -> Option<H> {
    let is_malformed = |value: &HeaderValue| {
        let mut tags = value.as_bytes().split(|byte| *byte == b'"').skip(1).step_by(2);
        tags.any(|tag| tag.iter().any(|byte| *byte <= b' ' || *byte == 0x7f))
    };
    if request.get_all(H::name()).iter().any(is_malformed) {
        return None;
    }
    request.typed_get()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    const DAY: &str = "Thu, 02 Jan 2025 00:00:00 GMT";
    const DAY_BEFORE: &str = "Wed, 01 Jan 2025 00:00:00 GMT";

    fn version() -> Version {
        let last_modified = OffsetDateTime::from_unix_timestamp(1_735_776_000).expect("a time").into();
        Version { etag: "\"abc\"".parse().expect("a tag"), last_modified, bytes: 10 }
    }

    fn request(headers: &[(HeaderName, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("a header"))).collect()
    }

    #[test]
    fn conditions_are_of_the_tag_and_of_the_time_without_one() {
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
        for (headers, expected) in [
            (&[][..], None),
            (&[(IF_NONE_MATCH, "\"abc\"")], Some(304)),
            (&[(IF_NONE_MATCH, "W/\"abc\"")], Some(304)),
            (&[(IF_NONE_MATCH, "\"x,y\", \"abc\"")], Some(304)),
            (&[(IF_NONE_MATCH, "*")], Some(304)),
            (&[(IF_NONE_MATCH, "\"ab\"")], None),
            (&[(IF_NONE_MATCH, "\"ab\""), (IF_MODIFIED_SINCE, DAY)], None),
            (&[(IF_MODIFIED_SINCE, DAY)], Some(304)),
            (&[(IF_MODIFIED_SINCE, DAY_BEFORE)], None),
            (&[(IF_MODIFIED_SINCE, "yesterday")], None),
            (&[(IF_MATCH, "\"abc\"")], None),
            (&[(IF_MATCH, "*")], None),
            (&[(IF_MATCH, "W/\"abc\"")], Some(412)),
            (&[(IF_MATCH, "\"ab\""), (IF_NONE_MATCH, "\"abc\"")], Some(412)),
            (&[(IF_MATCH, "\"abc\""), (IF_UNMODIFIED_SINCE, DAY_BEFORE)], None),
            (&[(IF_UNMODIFIED_SINCE, DAY_BEFORE)], Some(412)),
            (&[(IF_UNMODIFIED_SINCE, DAY)], None),
        ] {
            let refused = version().refuses(&request(headers)).map(|status| status.as_u16());
            assert_eq!(refused, expected, "{headers:?}");
        }
    }

    #[test]
    fn a_range_is_of_bytes_and_never_longer_than_the_file_from_its_end() {
        for (range, expected) in [
            ("bytes=0-1", Some("bytes=0-1")),
            ("Bytes=0-1", Some("bytes=0-1")),
            ("bytes= 4- ", Some("bytes=4-")),
            ("bytes=-3", Some("bytes=-3")),
            ("bytes=-10", Some("bytes=-10")),
            ("bytes=-11", Some("bytes=0-")),
            ("bytes=-99999999999999999999", Some("bytes=0-")),
            ("bytes=-0", Some("bytes=-0")),
            ("bytes=--1", Some("bytes=--1")),
            ("bytes=-", Some("bytes=-")),
            ("bytes=0-1,4-5", Some("bytes=0-1,4-5")),
            ("seconds=0-1", None),
            ("bytes", None),
        ] {
            let plain = version().range(&request(&[(header::RANGE, range)]));
            assert_eq!(plain.as_ref().and_then(|range| range.to_str().ok()), expected, "{range}");
        }
        assert_eq!(version().range(&HeaderMap::new()), None);
    }

    #[test]
    fn a_range_of_other_bytes_counts_for_none() {
        for (condition, counts) in [
            ("\"abc\"", true),
            ("W/\"abc\"", false),
            ("\"ab\"", false),
            (DAY, true),
            (DAY_BEFORE, false),
            ("nonsense", false),
            ("", false),
        ] {
            let headers = request(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, condition)]);
            assert_eq!(version().range(&headers).is_some(), counts, "{condition}");
        }
    }
}
