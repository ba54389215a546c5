//! Signs and checks JSON Web Tokens: HS256 and nothing else, one issuer, one audience for each use. When a token is valid is by
//! the database's clock, since one process checks what another has signed.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The token is malformed, expired, from the future, signed by another key or made for another use.
pub(super) use jsonwebtoken::errors::Error;

const ISSUER: &str = "steep";
/// How far what two processes take for the time may differ.
const LEEWAY_SECONDS: i64 = 5;

#[derive(Serialize)]
struct Signed<C> {
    #[serde(flatten)]
    claims: C,
    iss: &'static str,
    aud: &'static str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Verified<C> {
    #[serde(flatten)]
    claims: C,
    iat: i64,
    exp: i64,
    nbf: Option<i64>,
}

/// The key that signs, and perhaps the one before it, whose tokens are still accepted.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    present: Key,
    previous: Option<Key>,
    audience: &'static str,
    validation: Validation,
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Key {
    fn new(secret: &SecretString) -> Self {
        let secret = secret.expose_secret().as_bytes();
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret) }
    }

    /// Derives a text from another one; nobody can do that without the key.
    pub(super) fn derive(&self, text: &str) -> Result<String, Error> {
        jsonwebtoken::crypto::sign(text.as_bytes(), &self.encoding, Algorithm::HS256)
    }
}

impl Keys {
    /// An empty previous secret is none.
    pub(super) fn new(secret: &SecretString, previous: Option<&SecretString>, audience: &'static str) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // The library would ask this machine's clock.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[audience]);
        // The library ignores an absent claim unless it is required by name.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let previous = previous.filter(|previous| !previous.expose_secret().is_empty());
        Self { present: Key::new(secret), previous: previous.map(Key::new), audience, validation }
    }

    pub(super) fn sign(
        &self,
        claims: impl Serialize,
        issued_at: OffsetDateTime,
        expires_at: OffsetDateTime,
    ) -> Result<String, Error> {
        let (iat, exp) = (issued_at.unix_timestamp(), expires_at.unix_timestamp());
        let signed = Signed { claims, iss: ISSUER, aud: self.audience, iat, exp };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &signed, &self.present.encoding)
    }

    /// What a token says that is valid now, and the key that it was signed with.
    pub(super) fn verify<C: DeserializeOwned>(&self, token: &str, now: OffsetDateTime) -> Result<(C, &Key), Error> {
        let (verified, key): (Verified<C>, _) = match (self.decode(token, &self.present), &self.previous) {
            (Err(error), Some(previous)) if *error.kind() == ErrorKind::InvalidSignature => {
                (self.decode(token, previous)?, previous)
            }
            (decoded, _) => (decoded?, &self.present),
        };
        let now = now.unix_timestamp();
        let (earliest, latest) = (now.saturating_sub(LEEWAY_SECONDS), now.saturating_add(LEEWAY_SECONDS));
        if verified.exp < earliest {
            return Err(ErrorKind::ExpiredSignature.into());
        }
        if verified.iat > latest || verified.nbf.is_some_and(|begin| begin > latest) {
            return Err(ErrorKind::ImmatureSignature.into());
        }
        Ok((verified.claims, key))
    }

    fn decode<C: DeserializeOwned>(&self, token: &str, key: &Key) -> Result<Verified<C>, Error> {
        Ok(jsonwebtoken::decode(token, &key.decoding, &self.validation)?.claims)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn clocks_may_differ_by_five_seconds_and_not_by_more() {
        // Long ago: the machine's own clock has no say.
        let now = OffsetDateTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let keys = Keys::new(&SecretString::from("a-secret-of-32-bytes-or-a-few-more"), None, "steep:test");
        let accepted = |claim: &str, seconds: i64| {
            let at = now.unix_timestamp();
            let mut claims = json!({"sub": "a", "iss": ISSUER, "aud": "steep:test", "iat": at, "exp": at + 600});
            claims[claim] = json!(at + seconds);
            let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &keys.present.encoding);
            keys.verify::<Value>(&token.expect("a token"), now).is_ok()
        };
        for (claim, good, bad) in [("exp", -5, -6), ("nbf", 5, 6), ("iat", 5, 6)] {
            assert!(accepted(claim, good), "{claim} {good}");
            assert!(!accepted(claim, bad), "{claim} {bad}");
        }
    }
}
