//! Every published vector, by both hashes.

use cloudinary::signature::{
    Algorithm, Version, hash, response_signature, sign, string_to_sign, verify, verify_response,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    requests: Vec<Request>,
    /// Ids of vectors that came from the SDKs' low-level helper, which hashes what it is given and filters nothing.
    low_level_requests: Vec<String>,
    responses: Vec<Response>,
}

#[derive(Deserialize)]
struct Request {
    id: String,
    version: u8,
    secret: String,
    fields: Vec<(String, String)>,
    string_to_sign: String,
    sha1: String,
    sha256: String,
}

#[derive(Deserialize)]
struct Response {
    public_id: String,
    version: u64,
    secret: String,
    sha1: String,
    sha256: Option<String>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../signature-vectors.json")).unwrap()
}

#[test]
fn requests_are_signed_as_the_official_sdks_sign_them() {
    let vectors = vectors();
    assert_eq!(vectors.requests.len(), 21);
    for vector in vectors.requests {
        let version = if vector.version == 1 { Version::V1 } else { Version::V2 };
        let text = &vector.string_to_sign;
        assert_eq!(hash(text.as_bytes(), &vector.secret, Algorithm::Sha1), vector.sha1, "{}", vector.id);
        assert_eq!(hash(text.as_bytes(), &vector.secret, Algorithm::Sha256), vector.sha256, "{}", vector.id);
        assert!(verify(text.as_bytes(), &vector.secret, &vector.sha1), "{}", vector.id);
        assert!(verify(text.as_bytes(), &vector.secret, &vector.sha256), "{}", vector.id);
        if vectors.low_level_requests.contains(&vector.id) {
            continue;
        }
        let fields = &vector.fields;
        assert_eq!(string_to_sign(fields, version), *text, "{}", vector.id);
        assert_eq!(sign(fields, &vector.secret, Algorithm::Sha1, version), vector.sha1, "{}", vector.id);
        assert_eq!(sign(fields, &vector.secret, Algorithm::Sha256, version), vector.sha256, "{}", vector.id);
    }
}

#[test]
fn other_signed_requests_match_the_sdks_too() {
    let fields = [("timestamp", "1315060510"), ("public_id", "x")];
    assert_eq!(sign(&fields, "abcd", Algorithm::Sha1, Version::V2), "b19a3b011740ea173c9e0ba93e51549e5d50487a");
    let download = [("timestamp", "1315060510"), ("public_id", "sample"), ("format", "jpg"), ("api_key", "1234")];
    assert_eq!(sign(&download, "abcd", Algorithm::Sha1, Version::V2), "1d2a81e5bcd0bd788bcb5ba0914cde24c9927a91");
}

#[test]
fn the_order_of_fields_does_not_matter_but_that_of_list_items_does() {
    let one = [("b", "2"), ("a[]", "x"), ("a[]", "y")];
    let two = [("a[]", "x"), ("b", "2"), ("a[]", "y")];
    assert_eq!(string_to_sign(&one, Version::V2), "a=x,y&b=2");
    assert_eq!(string_to_sign(&one, Version::V2), string_to_sign(&two, Version::V2));
    assert_eq!(string_to_sign(&[("a[]", "y"), ("a[]", "x")], Version::V2), "a=y,x");
}

#[test]
fn reply_signatures_match_the_sdks() {
    for vector in vectors().responses {
        let Response { public_id, version, secret, sha1, sha256 } = vector;
        assert_eq!(response_signature(&public_id, version, &secret, Algorithm::Sha1), sha1, "{public_id}");
        assert!(verify_response(&public_id, version, &secret, &sha1), "{public_id}");
        let Some(sha256) = sha256 else { continue };
        assert_eq!(response_signature(&public_id, version, &secret, Algorithm::Sha256), sha256, "{public_id}");
        assert!(verify_response(&public_id, version, &secret, &sha256), "{public_id}");
    }
}

#[test]
fn a_changed_reply_or_a_signature_of_odd_length_does_not_verify() {
    let good = "7332b60d1da7033c332c59cb66dac31f72acc44c";
    assert!(verify_response("sample", 1_312_461_204, "abcd", good));
    assert!(!verify_response("sample", 1_312_461_205, "abcd", good));
    assert!(!verify_response("sample", 1_312_461_204, "abce", good));
    assert!(!verify_response("sample", 1_312_461_204, "abcd", &good[..39]));
    assert!(!verify_response("sample", 1_312_461_204, "abcd", ""));
    // Escaping the ampersand, as requests do, gives this one; it must not pass.
    assert!(!verify_response("tom&jerry", 1_315_060_510, "abcd", "854766e31d7f93931fabef838ae0fc5ec2ba1ebc"));
}
