//! Access tokens.

use std::time::Duration;

use messages::{SessionId, UserId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use store::User;
use time::OffsetDateTime;

use super::jwt::{self, Keys};

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
}

#[derive(Deserialize)]
struct Claims {
    sub: UserId,
    sid: SessionId,
}

/// The user and session of a token. Only the database knows whether the session is still live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
}

/// Issues and checks access tokens.
#[derive(Debug, Clone)]
pub struct AccessTokens {
    keys: Keys,
    pub(crate) lifetime: Duration,
}

impl AccessTokens {
    /// Tokens signed with a secret, each valid for `lifetime`. Those of the previous secret are accepted too.
    pub fn new(secret: &SecretString, previous: Option<&SecretString>, lifetime: Duration) -> Self {
        Self { keys: Keys::new(secret, previous, "steep:access"), lifetime }
    }

    /// A new token for a session of a user, valid from now and no longer than the session. The library has no reason to fail
    /// with an HMAC key.
    pub fn issue(
        &self,
        user: &User,
        session: SessionId,
        session_ends: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<String, jwt::Error> {
        let User { id, email, username, full_name, .. } = user;
        let issued = Issued { id: *id, email, username, full_name, sub: *id, sid: session };
        self.keys.sign(issued, now, session_ends.min(now + self.lifetime))
    }

    pub fn verify(&self, token: &str, now: OffsetDateTime) -> Result<Bearer, jwt::Error> {
        let (Claims { sub: user, sid: session }, _) = self.keys.verify(token, now)?;
        Ok(Bearer { user, session })
    }
}
