//! A sentence that the next page shows: what became of an action.
//!
//! It is in a cookie, which no address and no page on another site can set, and gone once it was shown.

use axum::http::HeaderMap;
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};

const NAME: &str = "steepFlash";
/// In characters. A cookie has room for 4 kB.
const MAX: usize = 500;

/// What the page before has to say.
pub(super) fn read(headers: &HeaderMap) -> Option<String> {
    let cookie = CookieJar::from_headers(headers).get(NAME)?.value().to_owned();
    let bytes = hex::decode(cookie).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// Leaves a sentence for the next page.
pub(super) fn leave(text: &str) -> CookieJar {
    let short: String = text.chars().take(MAX).collect();
    CookieJar::new().add(cookie(hex::encode(short), time::Duration::minutes(1)))
}

pub(super) fn forget() -> CookieJar {
    CookieJar::new().add(cookie(String::new(), time::Duration::ZERO))
}

fn cookie(value: String, lifetime: time::Duration) -> Cookie<'static> {
    Cookie::build((NAME, value))
        .path(crate::pages::ROOT)
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(lifetime)
        .build()
}
