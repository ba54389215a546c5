//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header).

use axum::http::HeaderMap;
use store::IdempotencyKey;

use crate::http::problem::Problem;

const HEADER: &str = "idempotency-key";
const MAX_BYTES: usize = 255;

/// The key of a request, within a scope. The draft writes it in quotes; without them it is the same key. 422 for a key
/// that is empty, too long or not of visible ASCII characters.
pub(crate) fn key(headers: &HeaderMap, scope: String) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if key.is_empty() || key.len() > MAX_BYTES || !key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Problem::invalid(
            "Idempotency-Key",
            format!("must have 1 to {MAX_BYTES} visible ASCII characters"),
        ));
    }
    Ok(Some(IdempotencyKey { scope, key: key.to_owned() }))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn given(text: &str) -> Result<Option<IdempotencyKey>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(text.as_bytes()).expect("a header"));
        key(&headers, "here".to_owned())
    }

    #[test]
    fn quotes_around_a_key_are_not_part_of_it() {
        assert_eq!(given("\"a-1\"").expect("a key"), given("a-1").expect("a key"));
        assert!(given("a-1").expect("a key").is_some());
    }

    #[test]
    fn a_key_that_could_be_mistaken_is_refused() {
        for text in ["", "\"\"", "ä", &"x".repeat(256)] {
            assert!(given(text).is_err(), "{text:?}");
        }
        assert!(given(&"x".repeat(255)).is_ok());
    }
}
