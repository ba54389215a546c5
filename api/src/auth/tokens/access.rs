//! Access tokens.

use std::time::Duration;

use messages::{SessionId, UserId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::jwt::{self, ISSUER, InvalidToken, Keys};

const AUDIENCE: &str = "steep:access";

/// What a token says. `_id`, `email`, `username` and `fullName` are for front ends of chai-backend, which decode them.
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

/// The user and session of a token. Only the database knows whether the session is still live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
}

/// Issues and checks access tokens: HS256 and nothing else.
#[derive(Debug, Clone)]
pub struct AccessTokens {
    keys: Keys,
    lifetime: Duration,
}

impl AccessTokens {
    /// Tokens signed with a secret, each valid for `lifetime`.
    pub fn new(secret: &SecretString, lifetime: Duration) -> Self {
        Self { keys: Keys::new(secret, AUDIENCE), lifetime }
    }

    /// Accepts also tokens that were signed with an earlier secret.
    #[must_use]
    pub(crate) fn accepting_also(mut self, secret: Option<&SecretString>) -> Self {
        if let Some(secret) = secret {
            self.keys.accept_also(secret);
        }
        self
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// A new token for a session of a user. The library has no reason to fail with an HMAC key.
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

    pub fn verify(&self, token: &str) -> Result<Bearer, InvalidToken> {
        let (claims, _) = self.keys.verify::<Presented>(token)?;
        Ok(Bearer { user: claims.sub, session: claims.sid })
    }
}
