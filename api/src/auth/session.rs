//! Begins and renews sessions.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use store::{Credentials, NewSession, Renewal, Rotation, Session, User};
use time::OffsetDateTime;

use super::Auth;
use super::tokens::TokenId;
use crate::config::SignIn;
use crate::http::problem::{Problem, ProblemKind};

/// As much of `User-Agent` as is kept, in characters.
const MAX_USER_AGENT: usize = 200;

/// The client that asks, as the list of sessions shows it.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) user_agent: String,
    pub(crate) address: IpAddr,
}

impl Device {
    pub(crate) fn new(headers: &HeaderMap, address: IpAddr) -> Self {
        let text = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self { user_agent: text.chars().take(MAX_USER_AGENT).collect(), address }
    }

    fn renewal(&self, settings: &SignIn, token: &TokenId) -> Renewal {
        Renewal {
            token: token.hash(),
            lifetime: settings.refresh_token_expiry,
            max_age: settings.session_max_age,
            user_agent: self.user_agent.clone(),
            address: self.address.to_string(),
        }
    }
}

/// Not `Debug`, because whoever has them is signed in.
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// How long it is until the session ends.
    pub(crate) session_left: Duration,
}

impl Auth {
    /// Begins a session for a user whose password was just verified. `None`: they have changed their password
    /// meanwhile.
    pub(crate) async fn begin_session(
        &self,
        verified: &Credentials,
        device: &Device,
    ) -> Result<Option<Tokens>, Problem> {
        let token = TokenId::random();
        let id = store::new_session_id();
        let new = NewSession { id, user: verified.user.id, renewal: device.renewal(&self.settings, &token) };
        let session = self.store.sessions().begin(new, verified.version).await?;
        let now = self.store.now().await?;
        session.map(|session| self.tokens(&verified.user, &session, &token, now)).transpose()
    }

    /// Exchanges a refresh token for its successor and a new access token. 401 for a token that is not valid, whose
    /// session has ended, or that was used before, which ends its session.
    pub(crate) async fn refresh_session(&self, token: &str, device: &Device) -> Result<Tokens, Problem> {
        let refused =
            || Problem::new(ProblemKind::Unauthorized, "the refresh token is not valid any more; sign in again");
        let presented =
            self.refresh_tokens.verify(token, self.store.now().await?).map_err(|error| refused().because(error))?;
        let renewal = device.renewal(&self.settings, &presented.successor);
        let grace = self.settings.refresh_token_grace;
        let session = match self.store.sessions().rotate(presented.session, presented.id.hash(), renewal, grace).await?
        {
            Rotation::Rotated(session) | Rotation::Repeated(session) => session,
            Rotation::Ended => return Err(refused()),
            Rotation::Reused => {
                let (user, session) = (presented.user, presented.session);
                tracing::warn!(%user, %session, "a refresh token was used twice, so its session has ended");
                return Err(refused());
            }
        };
        let user = self.store.users().signed_in(session.user, session.id).await?.ok_or_else(refused)?;
        self.tokens(&user, &session, &presented.successor, self.store.now().await?)
    }

    fn tokens(
        &self,
        user: &User,
        session: &Session,
        refresh: &TokenId,
        now: OffsetDateTime,
    ) -> Result<Tokens, Problem> {
        let access = self.access_tokens.issue(user, session.id, session.expires_at, now).map_err(Problem::internal)?;
        let refresh = self.refresh_tokens.issue(session, refresh).map_err(Problem::internal)?;
        let session_left = Duration::try_from(session.expires_at - now).unwrap_or_default();
        Ok(Tokens { access, refresh, session_left })
    }
}
