//! Bodies come as they are.
//!
//! Reading compressed ones would need bounds of its own for what comes out of them, and nobody sends any but by mistake:
//! pictures and videos are compressed, and the rest is short.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::http::problem::{Problem, ProblemKind};

/// Refuses a body that is not to be read as it is. Asked before the body is read.
pub(crate) fn refuse_coded(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get_all(header::CONTENT_ENCODING).iter().all(is_identity) {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::UnsupportedEncoding, "send the body as it is, without a Content-Encoding"))
}

fn is_identity(codings: &HeaderValue) -> bool {
    let is_none = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    codings.as_bytes().split(|byte| *byte == b',').all(|coding| is_none(coding.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bodies_that_are_as_they_are_pass() {
        let passes = |values: &[&'static str]| {
            let coded = values.iter().map(|value| (header::CONTENT_ENCODING, HeaderValue::from_static(value)));
            refuse_coded(&coded.collect()).is_ok()
        };
        for values in [&[][..], &["identity"], &[" Identity "], &[""], &["identity, identity"]] {
            assert!(passes(values), "{values:?}");
        }
        for values in [&["gzip"][..], &["identity, br"], &["identity", "zstd"], &["GZIP"], &["deflate"], &["none"]] {
            assert!(!passes(values), "{values:?}");
        }
    }
}
