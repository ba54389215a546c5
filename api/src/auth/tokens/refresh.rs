//! Refresh tokens.
//!
//! A token is known by its `jti`, a secret of its own; the database keeps its SHA-256. The `jti` of the successor is
//! derived from it with the key that signed it, the rest of the successor from the session's document. So any process
//! can give the same successor to a client that presents a token twice, although the successor is stored nowhere.

use std::time::Duration;

use messages::{SessionId, UserId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::{Session, TokenHash};
use uuid::Uuid;

use super::jwt::{self, ISSUER, InvalidToken, Keys};
use crate::config::SignIn;

const AUDIENCE: &str = "steep:refresh";

/// What a token says. `_id` is for front ends of chai-backend.
#[derive(Debug, Serialize)]
struct Issued<'a> {
    #[serde(rename = "_id")]
    id: UserId,
    sub: UserId,
    family: SessionId,
    jti: &'a str,
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Read {
    sub: UserId,
    family: SessionId,
    jti: String,
    iat: i64,
}

impl jwt::Claims for Read {
    fn issued_at(&self) -> i64 {
        self.iat
    }
}

/// What a token is known by.
pub(crate) struct TokenId(String);

impl TokenId {
    /// Two random UUIDs have 244 random bits.
    pub(crate) fn random() -> Self {
        Self(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
    }

    /// As the database keeps it.
    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash::from_bytes(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl std::fmt::Debug for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenId")
    }
}

/// A token that we issued and that has not expired. Only the database knows whether it is the session's present one.
#[derive(Debug)]
pub(crate) struct Presented {
    pub(crate) user: UserId,
    /// The session: the family of all tokens that followed from one sign-in.
    pub(crate) session: SessionId,
    pub(crate) id: TokenId,
    pub(crate) successor: TokenId,
}

#[derive(Debug, Clone)]
pub(crate) struct RefreshTokens {
    keys: Keys,
    pub(crate) lifetime: Duration,
    /// How long after the sign-in any token of a session is valid.
    pub(crate) max_age: Duration,
    /// How long a replaced token is answered with its successor.
    pub(crate) grace: Duration,
}

impl RefreshTokens {
    pub(crate) fn new(secret: &SecretString, settings: &SignIn) -> Self {
        let mut keys = Keys::new(secret, AUDIENCE);
        if let Some(previous) = &settings.refresh_token_secret_previous {
            keys.accept_also(previous);
        }
        Self {
            keys,
            lifetime: settings.refresh_token_expiry,
            max_age: settings.session_max_age,
            grace: settings.refresh_token_grace,
        }
    }

    /// The present token of a session.
    pub(crate) fn issue(&self, session: &Session, id: &TokenId) -> Result<SecretString, jsonwebtoken::errors::Error> {
        let token = self.keys.sign(&Issued {
            id: session.user,
            sub: session.user,
            family: session.id,
            jti: &id.0,
            iss: ISSUER,
            aud: AUDIENCE,
            iat: session.issued_at.unix_timestamp(),
            exp: session.expires_at.unix_timestamp(),
        })?;
        Ok(token.into())
    }

    pub(crate) fn verify(&self, token: &str) -> Result<Presented, InvalidToken> {
        let (claims, key) = self.keys.verify::<Read>(token)?;
        let successor = TokenId(key.derive(&format!("successor of {}", claims.jti))?);
        Ok(Presented { user: claims.sub, session: claims.family, id: TokenId(claims.jti), successor })
    }
}
