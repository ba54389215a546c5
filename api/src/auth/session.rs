//! Beginning a session, and going on with one.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use messages::SessionId;
use secrecy::{ExposeSecret, SecretString};
use store::{Credentials, NewSession, Renewal, Rotation, Session, User};
use time::OffsetDateTime;

use super::tokens::TokenId;
use crate::http::problem::{Problem, ProblemKind};
use crate::state::App;

/// The longest that is kept of what a client calls itself, in characters.
const MAX_USER_AGENT: usize = 200;

/// Who asks, as their session's list shows it.
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

    fn renewal(&self, app: &App, token: &TokenId) -> Renewal {
        let tokens = app.refresh_tokens();
        Renewal {
            token: token.hash(),
            lifetime: tokens.lifetime,
            max_age: tokens.max_age,
            user_agent: self.user_agent.clone(),
            address: self.address.to_string(),
        }
    }
}

/// What a client is given to be signed in.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) access: SecretString,
    pub(crate) refresh: SecretString,
    pub(crate) session_ends: OffsetDateTime,
}

/// Begins a session for a user whose password was just verified. `None` when they have another password by now.
pub(crate) async fn begin(app: &App, verified: &Credentials, device: &Device) -> Result<Option<Tokens>, Problem> {
    let token = TokenId::random();
    let id: SessionId = store::new_session_id();
    let new = NewSession { id, user: verified.user.id, renewal: device.renewal(app, &token) };
    let session = app.store().sessions().begin(new, verified.version).await?;
    session.map(|session| tokens(app, &verified.user, &session, &token)).transpose()
}

/// Exchanges a refresh token for its successor and a new access token.
///
/// # Errors
///
/// 401 for a token that is not valid, whose session has ended, or that was used before, in which case its session ends.
pub(crate) async fn refresh(app: &App, token: &str, device: &Device) -> Result<Tokens, Problem> {
    let refused = || Problem::new(ProblemKind::Unauthorized, "the refresh token is not valid any more; sign in again");
    let presented = app.refresh_tokens().verify(token).map_err(|error| refused().because(error))?;
    let renewal = device.renewal(app, &presented.successor);
    let grace = app.refresh_tokens().grace;
    let session = match app.store().sessions().rotate(presented.session, presented.id.hash(), renewal, grace).await? {
        Rotation::Rotated(session) | Rotation::Repeated(session) => session,
        Rotation::Ended => return Err(refused()),
        Rotation::Reused => {
            let (user, session) = (presented.user, presented.session);
            tracing::warn!(%user, %session, "a refresh token was used twice, so its session has ended");
            return Err(refused());
        }
    };
    let user = app.store().users().signed_in(session.user, session.id).await?.ok_or_else(refused)?;
    tokens(app, &user, &session, &presented.successor)
}

fn tokens(app: &App, user: &User, session: &Session, refresh: &TokenId) -> Result<Tokens, Problem> {
    let access = app.tokens().issue_until(user, session.id, session.expires_at).map_err(Problem::internal)?;
    let refresh = app.refresh_tokens().issue(session, refresh).map_err(Problem::internal)?;
    Ok(Tokens { access: access.into(), refresh, session_ends: session.expires_at })
}

impl Tokens {
    /// For the one answer that they are meant for.
    pub(crate) fn expose(&self) -> (String, String) {
        (self.access.expose_secret().to_owned(), self.refresh.expose_secret().to_owned())
    }
}
