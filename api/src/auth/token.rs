//! Access tokens.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use messages::UserId;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

const ISSUER: &str = "steep";
const AUDIENCE: &str = "steep:access";
/// How far two clocks may differ.
const LEEWAY_SECONDS: u64 = 5;

/// What a token says. `_id`, `email`, `username` and `fullName` are what front ends of the original decode.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    #[serde(rename = "_id")]
    id: UserId,
    email: String,
    username: String,
    full_name: String,
    sub: UserId,
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
}

/// A token that does not let anyone in: malformed, expired, signed by another key or made for another use.
#[derive(Debug, thiserror::Error)]
#[error("not a valid access token: {0}")]
pub struct InvalidToken(#[from] jsonwebtoken::errors::Error);

/// Issues and checks access tokens: HS256 and nothing else.
#[derive(Clone)]
pub struct AccessTokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    lifetime: Duration,
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessTokens").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl AccessTokens {
    /// Tokens signed with a secret, each valid for `lifetime`.
    pub fn new(secret: &SecretString, lifetime: Duration) -> Self {
        let secret = secret.expose_secret().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        // The library ignores an absent claim unless it is required by name.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            lifetime,
        }
    }

    /// How long a token is valid.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// A new token for a user.
    ///
    /// # Errors
    ///
    /// What the library says; it has no reason to with an HMAC key.
    pub fn issue(&self, user: &store::User) -> Result<String, jsonwebtoken::errors::Error> {
        let now = OffsetDateTime::now_utc();
        let claims = Claims {
            id: user.id,
            email: user.email.clone(),
            username: user.username.clone(),
            full_name: user.full_name.clone(),
            sub: user.id,
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            iat: now.unix_timestamp(),
            exp: (now + self.lifetime).unix_timestamp(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }

    /// Whose token this is.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] for every token that this did not issue or that has expired.
    pub fn verify(&self, token: &str) -> Result<UserId, InvalidToken> {
        let token = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)?;
        Ok(token.claims.sub)
    }
}
