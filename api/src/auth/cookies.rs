//! The cookies of a session.

use std::time::Duration;

use axum_extra::extract::cookie::{Cookie, CookieJar};
use time::OffsetDateTime;

use super::Auth;
use super::session::Tokens;

pub(crate) const ACCESS: &str = "accessToken";
pub(crate) const REFRESH: &str = "refreshToken";

impl Auth {
    /// The cookies of somebody who is signed in from now on.
    pub(crate) fn signed_in_cookies(&self, tokens: &Tokens) -> CookieJar {
        let left = Duration::from_secs(tokens.session_left.as_secs_f64().round() as u64);
        let access = self.cookie(ACCESS, tokens.access.clone(), self.access_tokens.lifetime.min(left));
        CookieJar::new().add(access).add(self.cookie(REFRESH, tokens.refresh.clone(), left))
    }

    /// Removes the cookies: the same ones, empty and expired. A browser keeps a cookie whose attributes differ.
    pub(crate) fn signed_out_cookies(&self) -> CookieJar {
        let expired = |name| {
            let mut cookie = self.cookie(name, String::new(), Duration::ZERO);
            cookie.set_expires(OffsetDateTime::UNIX_EPOCH);
            cookie
        };
        CookieJar::new().add(expired(ACCESS)).add(expired(REFRESH))
    }

    fn cookie(&self, name: &'static str, value: String, lifetime: Duration) -> Cookie<'static> {
        let lifetime = time::Duration::try_from(lifetime).unwrap_or(time::Duration::MAX);
        Cookie::build((name, value))
            .path("/")
            .http_only(true)
            .secure(self.is_secure)
            .same_site(self.same_site)
            .max_age(lifetime)
            .build()
    }
}
