//! Signs and checks JSON Web Tokens: HS256 and nothing else, one issuer, one audience for each use.

use std::fmt;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

pub(super) const ISSUER: &str = "steep";
/// How far two clocks may differ.
const LEEWAY_SECONDS: u64 = 5;

/// The token is malformed, expired, from the future, signed by another key or made for another use.
#[derive(Debug, thiserror::Error)]
#[error("not a valid token: {0}")]
pub struct InvalidToken(#[from] jsonwebtoken::errors::Error);

/// What every token says.
pub(super) trait Claims: DeserializeOwned {
    /// When it was issued, in seconds since 1970.
    fn issued_at(&self) -> i64;
}

/// The key that signs, and perhaps the one before it, whose tokens are still accepted.
#[derive(Clone)]
pub(super) struct Keys {
    present: Key,
    previous: Option<Key>,
    validation: Validation,
}

#[derive(Clone)]
pub(super) struct Key {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Key {
    fn new(secret: &SecretString) -> Self {
        let secret = secret.expose_secret().as_bytes();
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret) }
    }

    /// Derives a text from another one; nobody can do that without the key.
    pub(super) fn derive(&self, text: &str) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::crypto::sign(text.as_bytes(), &self.encoding, Algorithm::HS256)
    }
}

impl Keys {
    pub(super) fn new(secret: &SecretString, audience: &str) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[audience]);
        // The library ignores an absent claim unless it is required by name.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Self { present: Key::new(secret), previous: None, validation }
    }

    /// An empty secret is none.
    pub(super) fn accept_also(&mut self, secret: &SecretString) {
        self.previous = (!secret.expose_secret().is_empty()).then(|| Key::new(secret));
    }

    pub(super) fn sign<C: Serialize>(&self, claims: &C) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.present.encoding)
    }

    /// What a token says, and the key that it was signed with.
    pub(super) fn verify<C: Claims>(&self, token: &str) -> Result<(C, &Key), InvalidToken> {
        let (claims, key) = match (self.decode::<C>(token, &self.present), &self.previous) {
            (Err(error), Some(previous)) if *error.kind() == ErrorKind::InvalidSignature => {
                (self.decode(token, previous)?, previous)
            }
            (decoded, _) => (decoded?, &self.present),
        };
        let latest = OffsetDateTime::now_utc().unix_timestamp().saturating_add_unsigned(LEEWAY_SECONDS);
        if claims.issued_at() > latest {
            return Err(jsonwebtoken::errors::new_error(ErrorKind::ImmatureSignature).into());
        }
        Ok((claims, key))
    }

    fn decode<C: Claims>(&self, token: &str, key: &Key) -> Result<C, jsonwebtoken::errors::Error> {
        Ok(jsonwebtoken::decode(token, &key.decoding, &self.validation)?.claims)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Read {
        iat: i64,
    }

    impl Claims for Read {
        fn issued_at(&self) -> i64 {
            self.iat
        }
    }

    #[test]
    fn clocks_may_differ_by_five_seconds_and_not_by_more() {
        let keys = Keys::new(&SecretString::from("a-secret-of-32-bytes-or-a-few-more"), "steep:test");
        let accepted = |claim: &str, seconds: i64| {
            let now = OffsetDateTime::now_utc().unix_timestamp();
            let mut claims = json!({"sub": "a", "iss": ISSUER, "aud": "steep:test", "iat": now, "exp": now + 600});
            claims[claim] = json!(now + seconds);
            keys.verify::<Read>(&keys.sign(&claims).expect("a token")).is_ok()
        };
        // A second or two from the edge, because time passes in here.
        for (claim, good, bad) in [("exp", -3, -6), ("nbf", 5, 8), ("iat", 5, 8)] {
            assert!(accepted(claim, good), "{claim} {good}");
            assert!(!accepted(claim, bad), "{claim} {bad}");
        }
    }
}
