//! `GET /api/v1/users/sessions`, `DELETE /api/v1/users/sessions/:id` and `POST /api/v1/users/logout`.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;
use messages::SessionId;
use serde::Serialize;
use store::Session;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::auth::{Caller, refresh_cookie};
use crate::http::response::iso;
use crate::http::{Answer, Envelope, Nothing, PathId, Problem, ProblemKind};
use crate::openapi::{ChangesThings, NeedsUser, Refusals, TakesId, schemas};
use crate::state::App;

/// A session as its user sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionView {
    #[serde(rename = "_id")]
    #[schema(schema_with = schemas::object_id)]
    id: SessionId,
    /// Whether it is the one that asks.
    current: bool,
    user_agent: String,
    address: String,
    #[serde(serialize_with = "iso::serialize")]
    created_at: OffsetDateTime,
    // When its tokens were last renewed.
    #[serde(serialize_with = "iso::serialize")]
    last_used_at: OffsetDateTime,
    #[serde(serialize_with = "iso::serialize")]
    expires_at: OffsetDateTime,
}

/// Where the user is signed in, the one used last first.
///
/// There are at most 50: whoever signs in once more ends the one that was renewed least recently.
#[utoipa::path(
    get,
    path = "/api/v1/users/sessions",
    operation_id = "listSessions",
    security(("cookie" = []), ("bearer" = [])),
    responses((status = 200, description = "The sessions", body = Envelope<Vec<SessionView>>), Refusals<(NeedsUser,)>),
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Answer<Vec<SessionView>>, Problem> {
    let sessions = app.store.sessions().live(caller.user.id).await?;
    let view = |session: Session| SessionView {
        id: session.id,
        current: session.id == caller.session,
        user_agent: session.user_agent,
        address: session.address,
        created_at: session.created_at,
        last_used_at: session.issued_at,
        expires_at: session.expires_at,
    };
    Ok(Answer::ok(sessions.into_iter().map(view).collect(), "Sessions fetched successfully"))
}

/// Ends a session of the user's: its access tokens are refused from now on, and its refresh token too.
///
/// Another user's session is as unknown as one that does not exist.
#[utoipa::path(
    delete,
    path = "/api/v1/users/sessions/{id}",
    operation_id = "endSession",
    params(("id" = String, Path, description = "The session's id", pattern = "^[0-9a-f]{24}$")),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "It has ended", body = Envelope<Nothing>),
        Refusals<(NeedsUser, TakesId, ChangesThings)>,
    ),
)]
pub(crate) async fn end(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<SessionId>,
) -> Result<(CookieJar, Answer<Nothing>), Problem> {
    if !app.store.sessions().end(caller.user.id, id).await? {
        return Err(Problem::new(ProblemKind::NotFound, "you have no such session"));
    }
    let cookies = if id == caller.session { app.auth.signed_out_cookies() } else { CookieJar::new() };
    Ok((cookies, Answer::ok(Nothing {}, "Session ended")))
}

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
pub(crate) async fn logout(State(app): State<App>, parts: Parts) -> Response {
    let result = end_own(&app, parts).await;
    match &result {
        Err(problem) if problem.kind() != ProblemKind::Unauthorized => result.into_response(),
        _ => (app.auth.signed_out_cookies(), result).into_response(),
    }
}

async fn end_own(app: &App, mut parts: Parts) -> Result<Answer<Nothing>, Problem> {
    let (user, session) = match Caller::from_request_parts(&mut parts, app).await {
        Ok(caller) => (caller.user.id, caller.session),
        Err(problem) if problem.kind() == ProblemKind::Unauthorized => {
            let now = app.store.now().await?;
            let token = refresh_cookie(&parts.headers);
            let token = token.and_then(|token| app.auth.refresh_tokens.verify(&token, now).ok()).ok_or(problem)?;
            (token.user, token.session)
        }
        Err(problem) => return Err(problem),
    };
    if !app.store.sessions().end(user, session).await? {
        return Err(Problem::new(ProblemKind::Unauthorized, "this session has ended already"));
    }
    Ok(Answer::ok(Nothing {}, "User logged out"))
}
