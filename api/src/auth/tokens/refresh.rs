//! Refresh tokens.
//!
//! A token is known by its `jti`, a secret of its own; the database keeps its SHA-256. The `jti` of the successor is
//! derived from it with the key that signed it, the rest of the successor from the session's document. So any process
//! can give the same successor to a client that presents a token twice, although the successor is stored nowhere.

use messages::{SessionId, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::{Session, TokenHash};
use time::OffsetDateTime;
use uuid::Uuid;

use super::jwt::{self, Keys};

/// What a token says. `_id` is for front ends of chai-backend.
#[derive(Debug, Serialize)]
struct Issued<'a> {
    #[serde(rename = "_id")]
    id: UserId,
    sub: UserId,
    family: SessionId,
    jti: &'a str,
}

#[derive(Deserialize)]
struct Read {
    sub: UserId,
    family: SessionId,
    jti: SecretString,
}

/// What a token is known by.
#[derive(Debug)]
pub(crate) struct TokenId(SecretString);

impl TokenId {
    /// Two random UUIDs have 244 random bits.
    pub(crate) fn random() -> Self {
        Self(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()).into())
    }

    /// As the database keeps it.
    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash::from_bytes(Sha256::digest(self.0.expose_secret()).into())
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
pub(crate) struct RefreshTokens(Keys);

impl RefreshTokens {
    pub(crate) fn new(secret: &SecretString, previous: Option<&SecretString>) -> Self {
        Self(Keys::new(secret, previous, "steep:refresh"))
    }

    /// The present token of a session.
    pub(crate) fn issue(&self, session: &Session, id: &TokenId) -> Result<String, jwt::Error> {
        let issued = Issued { id: session.user, sub: session.user, family: session.id, jti: id.0.expose_secret() };
        self.0.sign(issued, session.issued_at, session.expires_at)
    }

    pub(crate) fn verify(&self, token: &str, now: OffsetDateTime) -> Result<Presented, jwt::Error> {
        let (Read { sub, family, jti }, key) = self.0.verify(token, now)?;
        let successor = key.derive(&format!("successor of {}", jti.expose_secret()))?;
        Ok(Presented { user: sub, session: family, id: TokenId(jti), successor: TokenId(successor.into()) })
    }
}
