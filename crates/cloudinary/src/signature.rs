//! Cloudinary's signatures: over a request's fields, over an upload's reply, and over a webhook. Pure functions.
//!
//! The scheme is a plain hash of a text followed by the API secret, not an HMAC. It is described in Cloudinary's guide
//! "Generating authentication signatures"; the test vectors in `tests/signature-vectors.json` come from the official SDKs.

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
    /// The algorithm that produced `signature`, told by its length; `None` if neither did.
    pub fn of(signature: &str) -> Option<Self> {
        match signature.len() {
            40 => Some(Self::Sha1),
            64 => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// How a request's fields become the text that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// Values as they are. A value that contains `&` can then pose as another field, so nothing new should sign this way.
    V1,
    /// `&` inside a field is written `%26`. What SDKs have sent since 2025.
    #[default]
    V2,
}

/// The text that is signed for a request with these fields, given in the form in which they travel.
///
/// Unsigned and empty fields are left out, the items of a repeated `key[]` are joined with commas in the order given, and
/// the rest is sorted by key. Nothing is percent-encoded, apart from what [`Version::V2`] asks for.
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

/// The signature of a request with these fields, as lower-case hex. See [`string_to_sign`] for what is covered.
pub fn sign<K: AsRef<str>, V: AsRef<str>>(
    fields: &[(K, V)],
    secret: &str,
    algorithm: Algorithm,
    version: Version,
) -> String {
    hash(string_to_sign(fields, version).as_bytes(), secret, algorithm)
}

/// The signature that a reply about an asset carries. Version 1 rules apply: an `&` in the id stays as it is.
pub fn response_signature(public_id: &str, version: u64, secret: &str, algorithm: Algorithm) -> String {
    hash(response_text(public_id, version).as_bytes(), secret, algorithm)
}

/// The `X-Cld-Signature` of a notification: over the raw body, followed by the `X-Cld-Timestamp` header.
pub fn webhook_signature(body: &[u8], timestamp: &str, secret: &str, algorithm: Algorithm) -> String {
    hash(&[body, timestamp.as_bytes()].concat(), secret, algorithm)
}

/// The lower-case hex hash of `text` followed by `secret`, which all signatures are made of.
pub fn hash(text: &[u8], secret: &str, algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::Sha1 => hex::encode(Sha1::new().chain_update(text).chain_update(secret).finalize()),
        Algorithm::Sha256 => hex::encode(Sha256::new().chain_update(text).chain_update(secret).finalize()),
    }
}

/// Whether `signature` is that of `text`, by the algorithm that its length tells. Takes the same time wherever they differ.
pub fn verify(text: &[u8], secret: &str, signature: &str) -> bool {
    let Some(algorithm) = Algorithm::of(signature) else { return false };
    hash(text, secret, algorithm).as_bytes().ct_eq(signature.as_bytes()).into()
}

/// Whether `signature` is that of a reply about this version of this asset. Either algorithm will do: which one a reply
/// uses depends on the account, not on how the request was signed.
pub fn verify_response(public_id: &str, version: u64, secret: &str, signature: &str) -> bool {
    verify(response_text(public_id, version).as_bytes(), secret, signature)
}

fn response_text(public_id: &str, version: u64) -> String {
    format!("public_id={public_id}&version={version}")
}
