//! `POST /api/v1/users/logout`.

use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;
use messages::{SessionId, UserId};

use crate::auth::{Caller, refresh_cookie};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::response::{Answer, Envelope, Nothing};
use crate::openapi::{ChangesThings, NeedsUser, Refusals};
use crate::state::App;

/// Ends the session that the request comes from, and no other.
///
/// Somebody whose access token has expired is known by the cookie
/// with the refresh token: else who comes back after a while could not end a session that goes on for days.
///
/// The cookies go in any case, so that whoever is refused is signed out of this browser too.
#[utoipa::path(
    post,
    path = "/api/v1/users/logout",
    operation_id = "logout",
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The session has ended", body = Envelope<Nothing>,
            headers(("Set-Cookie" = String, description = "Both cookies, expired"))),
        Refusals<(NeedsUser, ChangesThings)>,
    ),
)]
pub(crate) async fn logout(State(app): State<App>, request: Request) -> Response {
    let result = end(&app, request).await;
    let gone = match &result {
        Ok(_) => true,
        Err(problem) => problem.kind() == ProblemKind::Unauthorized,
    };
    let cookies = if gone { app.auth.signed_out_cookies() } else { CookieJar::new() };
    (cookies, result).into_response()
}

async fn end(app: &App, request: Request) -> Result<Answer<Nothing>, Problem> {
    let (user, session) = whose(app, request).await?;
    if !app.store.sessions().end(user, session).await? {
        return Err(Problem::new(ProblemKind::Unauthorized, "this session has ended already"));
    }
    Ok(Answer::ok(Nothing {}, "User logged out"))
}

async fn whose(app: &App, request: Request) -> Result<(UserId, SessionId), Problem> {
    let (mut parts, _) = request.into_parts();
    let problem = match Caller::from_request_parts(&mut parts, app).await {
        Ok(caller) => return Ok((caller.user.id, caller.session)),
        Err(problem) => problem,
    };
    if problem.kind() != ProblemKind::Unauthorized {
        return Err(problem);
    }
    let token = refresh_cookie(&parts.headers).and_then(|token| app.auth.refresh_tokens.verify(&token).ok());
    token.map(|token| (token.user, token.session)).ok_or(problem)
}
