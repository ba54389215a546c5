//! Access tokens.

use std::time::Duration;

use messages::{SessionId, UserId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::jwt::{self, ISSUER, InvalidToken, Keys};

const AUDIENCE: &str = "steep:access";

/// What a token says. `_id`, `email`, `username` and `fullName` are what front ends of the original decode.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Issued<'a> {
    #[serde(rename = "_id")]
    id: UserId,
    email: &'a str,
    username: &'a str,
    full_name: &'a str,
    sub: UserId,
    sid: SessionId,
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

/// What we read of it.
#[derive(Debug, Deserialize)]
struct Presented {
    sub: UserId,
    sid: SessionId,
    iat: i64,
}

impl jwt::Claims for Presented {
    fn issued_at(&self) -> i64 {
        self.iat
    }
}

/// Who presents a token. Whether the session is still live, the database tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    /// The user.
    pub user: UserId,
    /// The session that the token belongs to.
    pub session: SessionId,
}

/// Issues and checks access tokens: HS256 and nothing else.
#[derive(Clone)]
pub struct AccessTokens {
    keys: Keys,
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
        Self { keys: Keys::new(secret, AUDIENCE), lifetime }
    }

    /// Accepts also tokens that were signed with an earlier secret.
    #[must_use]
    pub fn accepting_also(mut self, secret: Option<&SecretString>) -> Self {
        if let Some(secret) = secret {
            self.keys.accept_also(secret);
        }
        self
    }

    /// How long a token is valid.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// A new token for a session of a user.
    ///
    /// # Errors
    ///
    /// What the library says; it has no reason to with an HMAC key.
    pub fn issue(&self, user: &store::User, session: SessionId) -> Result<String, jsonwebtoken::errors::Error> {
        self.issue_until(user, session, OffsetDateTime::now_utc() + self.lifetime)
    }

    /// As [`AccessTokens::issue`], but not beyond the session's end.
    pub(crate) fn issue_until(
        &self,
        user: &store::User,
        session: SessionId,
        session_ends: OffsetDateTime,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now = OffsetDateTime::now_utc();
        self.keys.sign(&Issued {
            id: user.id,
            email: &user.email,
            username: &user.username,
            full_name: &user.full_name,
            sub: user.id,
            sid: session,
            iss: ISSUER,
            aud: AUDIENCE,
            iat: now.unix_timestamp(),
            exp: (now + self.lifetime).min(session_ends).unix_timestamp(),
        })
    }

    /// Whose token this is.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] for every token that this did not issue or that has expired.
    pub fn verify(&self, token: &str) -> Result<Bearer, InvalidToken> {
        let (claims, _) = self.keys.verify::<Presented>(token)?;
        Ok(Bearer { user: claims.sub, session: claims.sid })
    }
}
