//! Cloudinary's signatures of requests and replies. Pure functions.
//!
//! A signature is a plain hash of a text followed by the API secret, not an HMAC. Cloudinary's guide "Generating
//! authentication signatures" describes it; the vectors in `tests/signature-vectors.json` come from the official SDKs.

use sha1::{Digest, Sha1};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Fields that are sent but never signed.
const UNSIGNED: [&str; 5] = ["file", "api_key", "signature", "resource_type", "cloud_name"];

/// The hash that an account signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// 40 hex digits, Cloudinary's default.
    #[default]
    Sha1,
    /// 64 hex digits; some accounts accept nothing else.
    Sha256,
}

impl Algorithm {
    /// The algorithm of a signature, by its length.
    pub fn of(signature: &str) -> Option<Self> {
        match signature.len() {
            40 => Some(Self::Sha1),
            64 => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// How the text that is signed is made from a request's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// Values as they are. A value with `&` can pose as another field, so new clients should not sign this way.
    V1,
    /// `&` inside a field is written `%26`. SDKs do so since 2025.
    #[default]
    V2,
}

/// The text that is signed for a request with these fields.
///
/// Unsigned and empty fields are left out, the items of a repeated `key[]` are joined by commas in the order given, and
/// all is sorted by key. Nothing is percent-encoded but what [`Version::V2`] says.
pub fn string_to_sign<K: AsRef<str>, V: AsRef<str>>(fields: &[(K, V)], version: Version) -> String {
    let mut entries: Vec<(&str, String)> = Vec::with_capacity(fields.len());
    for (key, value) in fields {
        let (key, value) = (key.as_ref(), value.as_ref());
        let Some(list) = key.strip_suffix("[]") else {
            entries.push((key, value.to_owned()));
            continue;
        };
        match entries.iter_mut().find(|(name, _)| *name == list) {
            Some((_, items)) => {
                items.push(',');
                items.push_str(value);
            }
            None => entries.push((list, value.to_owned())),
        }
    }
    entries.retain(|(key, value)| !value.is_empty() && !UNSIGNED.contains(key));
    entries.sort_by_key(|(key, _)| *key);

    let mut text = String::new();
    for (key, value) in entries {
        if !text.is_empty() {
            text.push('&');
        }
        let entry = format!("{key}={value}");
        match version {
            Version::V1 => text.push_str(&entry),
            Version::V2 => text.push_str(&entry.replace('&', "%26")),
        }
    }
    text
}

/// The signature of a request with these fields, as lower-case hex.
pub fn sign<K: AsRef<str>, V: AsRef<str>>(
    fields: &[(K, V)],
    secret: &str,
    algorithm: Algorithm,
    version: Version,
) -> String {
    hash(string_to_sign(fields, version).as_bytes(), secret, algorithm)
}

/// The signature of a reply about an asset. It follows version 1: an `&` in the id stays.
pub fn response_signature(public_id: &str, version: u64, secret: &str, algorithm: Algorithm) -> String {
    hash(response_text(public_id, version).as_bytes(), secret, algorithm)
}

/// The hash of `text` followed by `secret`, as lower-case hex.
pub fn hash(text: &[u8], secret: &str, algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::Sha1 => hex::encode(Sha1::new().chain_update(text).chain_update(secret).finalize()),
        Algorithm::Sha256 => hex::encode(Sha256::new().chain_update(text).chain_update(secret).finalize()),
    }
}

/// Whether `signature` is that of `text`, by the algorithm of its length. Takes the same time wherever they differ.
pub fn verify(text: &[u8], secret: &str, signature: &str) -> bool {
    let Some(algorithm) = Algorithm::of(signature) else { return false };
    hash(text, secret, algorithm).as_bytes().ct_eq(signature.as_bytes()).into()
}

/// Whether `signature` is that of a reply about this version of this asset. Both algorithms count: the account decides
/// which one a reply uses, not the request.
pub fn verify_response(public_id: &str, version: u64, secret: &str, signature: &str) -> bool {
    verify(response_text(public_id, version).as_bytes(), secret, signature)
}

fn response_text(public_id: &str, version: u64) -> String {
    format!("public_id={public_id}&version={version}")
}
