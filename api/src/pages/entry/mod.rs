//! Who may see pages.
//!
//! Whoever is not signed in is sent to sign in, whatever they asked for. Whoever is no admin is told so by the same page
//! everywhere, so that it does not tell what there is. An access token lasts minutes and a session days: a page whose
//! access token has expired renews the session on the way, and the answer brings the new cookies. Two pages that do so at once
//! get the same tokens, as any clients of `POST /api/v1/users/refresh-token` do. A script is told 401 and asks that route itself.

mod flash;
mod sent;
pub(super) mod sign_in;
mod visit;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::CookieJar;

use crate::auth::{ACCESS_COOKIE, AdminReader, ClientAddress, Device, refresh_cookie};
use crate::http::{Problem, ProblemKind};
use crate::pages::layout;
use crate::pages::live::Snapshots;
use crate::state::App;
use visit::{Ask, problem_page};

pub(super) use sent::{Sent, done};
pub(super) use visit::Visit;

#[derive(Debug, Clone)]
pub(super) struct Gate {
    app: App,
    snapshots: Arc<Snapshots>,
}

impl Gate {
    pub(super) fn new(app: App) -> Self {
        Self { app, snapshots: Arc::default() }
    }
}

/// Lets admins through, and shows every refusal as a page.
pub(super) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let ask = Ask::of(&mut parts);
    let said = flash::read(&parts.headers);
    let mut renewed = CookieJar::new();
    let mut admin = AdminReader::from_request_parts(&mut parts, &gate.app).await;
    if admin.as_ref().is_err_and(|problem| problem.kind() == ProblemKind::Unauthorized)
        && !ask.is_script
        && let Some(token) = refresh_cookie(&parts.headers)
    {
        admin = match renew(&gate.app, &mut parts, &token).await {
            Ok(cookies) => {
                renewed = cookies;
                AdminReader::from_request_parts(&mut parts, &gate.app).await
            }
            Err(problem) => Err(problem),
        };
    }
    let answer = match admin {
        Ok(AdminReader(caller)) => {
            let visit = Visit::new(caller, ask, said.clone());
            answer(&gate, visit, parts, body, next).await
        }
        Err(problem) => refusal(problem, &ask),
    };
    // What was said is said once, by a page that shows it.
    let was_shown = said.is_some() && answer.extensions().get::<layout::Shown>().is_some();
    let spent = was_shown.then(flash::forget);
    (renewed, spent, answer).into_response()
}

async fn answer(gate: &Gate, visit: Visit, mut parts: Parts, body: Body, next: Next) -> Response {
    if visit.ask.is_fragment {
        let key = (visit.ask.path.clone(), visit.writes);
        parts.extensions.insert(visit);
        let make = next.run(Request::from_parts(parts.clone(), body));
        return gate.snapshots.shared(key, &parts.headers, make).await;
    }
    parts.extensions.insert(visit.clone());
    let answer = next.run(Request::from_parts(parts, body)).await;
    if !visit.ask.is_get {
        gate.snapshots.forget();
    }
    if visit.ask.is_script || answer.extensions().get::<ProblemKind>().is_none() {
        return answer;
    }
    problem_page(&visit, answer).await
}

/// Renews the session and lets the request go on with its new access token.
async fn renew(app: &App, parts: &mut Parts, token: &str) -> Result<CookieJar, Problem> {
    let ClientAddress(address) = ClientAddress::from_request_parts(parts, app).await?;
    let tokens = app.auth.refresh_session(token, &Device::new(&parts.headers, address)).await?;
    let cookie = format!("{ACCESS_COOKIE}={}", tokens.access);
    parts.headers.insert(header::COOKIE, HeaderValue::try_from(cookie).map_err(Problem::internal)?);
    Ok(app.auth.signed_in_cookies(&tokens))
}

fn refusal(problem: Problem, ask: &Ask) -> Response {
    if ask.is_script {
        return problem.into_response();
    }
    match problem.kind().row().0 {
        StatusCode::UNAUTHORIZED => {
            Redirect::to(&sign_in::address(ask.is_get.then_some(ask.path.as_str()))).into_response()
        }
        StatusCode::FORBIDDEN => layout::closed(&problem),
        _ => layout::failed(problem),
    }
}

/// The same address without a parameter of ours, which lists would refuse.
pub(super) fn without_fragment(uri: &Uri) -> (Uri, bool) {
    let query = uri.query().unwrap_or_default();
    let is_ours = |pair: &&str| matches!(pair.split('=').next(), Some("fragment"));
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !is_ours(pair)).collect();
    let had = query.split('&').any(|pair| is_ours(&pair));
    let path = if kept.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), kept.join("&")) };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(path).ok();
    (Uri::from_parts(parts).unwrap_or_else(|_| uri.clone()), had)
}
