//! Signing in and out by forms.

use axum::extract::{RawQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use url::form_urlencoded;

use crate::auth::{ClientAddress, Device, Guard};
use crate::http::{Json, Problem};
use crate::pages::{ROOT, layout};
use crate::routes::users::login::{self, Credentials};
use crate::routes::users::sessions;
use crate::state::App;

/// The longest address that is gone back to.
const MAX_NEXT: usize = 1_000;

/// Where to sign in, to go on to an address of ours afterwards.
pub(in crate::pages) fn address(next: Option<&str>) -> String {
    let Some(next) = next.filter(|next| *next != ROOT && is_own(next)) else { return format!("{ROOT}/sign-in") };
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    format!("{ROOT}/sign-in?next={next}")
}

pub(in crate::pages) async fn form(RawQuery(query): RawQuery) -> Response {
    page(StatusCode::OK, &next(query.as_deref()), None)
}

/// Signs in as `POST /api/v1/users/login` does, with its limits, its delays and its cookies.
pub(in crate::pages) async fn sign_in(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    credentials: Result<Json<Credentials>, Problem>,
) -> Response {
    let next = next(query.as_deref());
    let mut guard = Guard::new(&app.store);
    let signed_in = match credentials {
        Ok(Json(credentials)) => login::sign_in(&app, &mut guard, credentials, &Device::new(&headers, address)).await,
        Err(problem) => Err(problem),
    };
    let answer = match signed_in {
        Ok((cookies, _)) => (cookies, Redirect::to(&next)).into_response(),
        Err(problem) => refused(problem, &next),
    };
    guard.mark(answer)
}

/// Ends the session as `POST /api/v1/users/logout` does.
pub(in crate::pages) async fn sign_out(State(app): State<App>, parts: Parts) -> Response {
    let ended = sessions::logout(State(app), parts).await;
    if ended.status().is_server_error() {
        return ended;
    }
    let mut answer = Redirect::to(&address(None)).into_response();
    for cookie in ended.headers().get_all(header::SET_COOKIE) {
        answer.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    answer
}

/// The form once more, with what was wrong. Status, headers and cause are the API's.
fn refused(problem: Problem, next: &str) -> Response {
    let detail = problem.detail().to_owned();
    let (mut parts, _) = problem.into_response().into_parts();
    let (page, body) = page(parts.status, next, Some(&detail)).into_parts();
    parts.headers.extend(page.headers);
    Response::from_parts(parts, body)
}

fn page(status: StatusCode, next: &str, wrong: Option<&str>) -> Response {
    let main = html! {
        form.sign-in method="post" action=(address(Some(next))) {
            @if let Some(wrong) = wrong {
                p.problem role="alert" { (wrong) }
            }
            label { "Username" input name="username" autocomplete="username" required autocapitalize="none" spellcheck="false"; }
            label { "Password" input name="password" type="password" autocomplete="current-password" required; }
            button.primary { "Sign in" }
        }
    };
    (status, layout::outside("Sign in", &main)).into_response()
}

/// Where to go afterwards: to one of our pages, whatever the address says.
fn next(query: Option<&str>) -> String {
    let query = query.unwrap_or_default();
    let next = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "next").map(|(_, value)| value);
    next.filter(|next| is_own(next)).map_or_else(|| ROOT.to_owned(), |next| next.into_owned())
}

/// Whether an address leads to a page of ours: no other site, no other part of this one.
fn is_own(address: &str) -> bool {
    let Some(rest) = address.strip_prefix(ROOT) else { return false };
    let path = rest.split('?').next().unwrap_or_default();
    address.len() <= MAX_NEXT
        && (rest.is_empty() || rest.starts_with(['/', '?']))
        && address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !path.split('/').any(|segment| segment.replace("%2e", ".").replace("%2E", ".") == "..")
        && !matches!(path, "/sign-in" | "/sign-out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_ours_are_gone_on_to() {
        for own in ["/dashboard", "/dashboard?a=b", "/dashboard/jobs?state=failed&kind=a%2Fb", "/dashboard/jobs/1"] {
            assert_eq!(
                next(Some(&address(Some(own))["/dashboard/sign-in?".len().min(address(Some(own)).len())..])),
                own
            );
        }
        for other in [
            "//evil.example.com",
            "https://evil.example.com/dashboard",
            "/dashboards",
            "/dashboard.evil.example.com",
            "/dashboard\\evil",
            "/dashboard/../api/v1/users",
            "/dashboard/%2E%2e/docs",
            "/dashboard/sign-out",
            "/dashboard/\r\nx: y",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!is_own(other), "{other:?}");
            let query: String = form_urlencoded::byte_serialize(other.as_bytes()).collect();
            assert_eq!(next(Some(&format!("next={query}"))), ROOT);
        }
    }
}
