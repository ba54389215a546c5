//! The user behind a request.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::{HeaderMap, header, request::Parts};
use axum_extra::extract::cookie::CookieJar;
use messages::SessionId;
use store::User;

use super::Auth;
use super::cookies::{ACCESS, REFRESH};
use super::tokens::Bearer;
use crate::http::problem::{Problem, ProblemKind};

/// The signed-in user, read from the database in one look-up by `_id`, and their session.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: User,
    pub(crate) session: SessionId,
}

/// The user and session of a valid token. The handler must ask the database whether the session is still live, and
/// answer nothing before that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presented(pub(crate) Bearer);

pub(crate) fn not_signed_in() -> Problem {
    Problem::new(ProblemKind::Unauthorized, "sign in to do this")
}

impl<S: Send + Sync> FromRequestParts<S> for Presented
where
    Arc<Auth>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let token = presented_token(&parts.headers).ok_or_else(not_signed_in)?;
        let auth = Arc::<Auth>::from_ref(state);
        let bearer = auth.access_tokens.verify(&token, auth.store.now().await?).map_err(|error| {
            Problem::new(ProblemKind::Unauthorized, "the access token is not valid or has expired; sign in again")
                .because(error)
        })?;
        Ok(Self(bearer))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Arc<Auth>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Presented(bearer) = Presented::from_request_parts(parts, state).await?;
        let user = Arc::<Auth>::from_ref(state).store.users().signed_in(bearer.user, bearer.session).await?;
        Ok(Self { user: user.ok_or_else(not_signed_in)?, session: bearer.session })
    }
}

/// The cookie counts before the bearer token: some front ends send `Bearer null` beside a valid cookie.
fn presented_token(headers: &HeaderMap) -> Option<String> {
    cookie(headers, ACCESS).or_else(|| {
        let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = header.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && is_token(token)).then(|| token.to_owned())
    })
}

pub(crate) fn refresh_cookie(headers: &HeaderMap) -> Option<String> {
    cookie(headers, REFRESH)
}

/// Whether one of the cookies is a session's. A bearer token beside it changes nothing: the cookie counts then.
pub(crate) fn carries_session(headers: &HeaderMap) -> bool {
    [ACCESS, REFRESH].iter().any(|name| cookie(headers, name).is_some())
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookie = CookieJar::from_headers(headers).get(name).map(|cookie| cookie.value().to_owned());
    cookie.filter(|token| is_token(token))
}

/// Front ends send `null` or `undefined` for a token that they do not have.
pub(crate) fn is_token(text: &str) -> bool {
    !matches!(text, "" | "null" | "undefined")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn token(cookie: Option<&str>, authorization: Option<&str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        if let Some(cookie) = cookie {
            headers.insert(header::COOKIE, HeaderValue::from_str(cookie).expect("a header"));
        }
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).expect("a header"));
        }
        presented_token(&headers)
    }

    #[test]
    fn the_cookie_goes_before_the_header() {
        assert_eq!(token(Some("a=1; accessToken=c.o.o"), Some("Bearer b.e.a")), Some("c.o.o".to_owned()));
        assert_eq!(token(Some("accessToken=c.o.o"), Some("Bearer null")), Some("c.o.o".to_owned()));
    }

    #[test]
    fn a_token_that_javascript_did_not_have_is_none() {
        assert_eq!(token(Some("accessToken=undefined"), Some("bearer b.e.a")), Some("b.e.a".to_owned()));
        for header in ["Bearer null", "Bearer undefined", "Bearer ", "Bearer", "Basic dTpw", ""] {
            assert_eq!(token(None, Some(header)), None, "{header:?}");
        }
        assert_eq!(token(Some("accessToken="), None), None);
    }
}
