//! The cookies of a session.

use std::time::Duration;

use axum_extra::extract::cookie::{Cookie, CookieJar};
use time::OffsetDateTime;

use super::session::Tokens;
use crate::state::App;

/// The cookie that carries the access token.
pub(crate) const ACCESS: &str = "accessToken";
/// The cookie that carries the refresh token.
pub(crate) const REFRESH: &str = "refreshToken";

/// The cookies of somebody who is signed in from now on.
pub(crate) fn signed_in(app: &App, tokens: &Tokens) -> CookieJar {
    let (access, refresh) = tokens.expose();
    let left = Duration::try_from(tokens.session_ends - OffsetDateTime::now_utc()).unwrap_or_default();
    let left = Duration::from_secs(left.as_secs_f64().round() as u64);
    let access = cookie(app, ACCESS, access, app.tokens().lifetime().min(left));
    CookieJar::new().add(access).add(cookie(app, REFRESH, refresh, left))
}

/// What removes them: the same cookies, empty and over. A browser keeps one whose attributes differ.
pub(crate) fn signed_out(app: &App) -> CookieJar {
    let over = |name| {
        let mut cookie = cookie(app, name, String::new(), Duration::ZERO);
        cookie.set_expires(OffsetDateTime::UNIX_EPOCH);
        cookie
    };
    CookieJar::new().add(over(ACCESS)).add(over(REFRESH))
}

fn cookie(app: &App, name: &'static str, value: String, lifetime: Duration) -> Cookie<'static> {
    let lifetime = time::Duration::try_from(lifetime).unwrap_or(time::Duration::MAX);
    Cookie::build((name, value))
        .path("/")
        .http_only(true)
        .secure(app.is_secure())
        .same_site(app.same_site())
        .max_age(lifetime)
        .build()
}
