//! `POST /api/v1/users/refresh-token`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum_extra::extract::cookie::CookieJar;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{ClientAddress, Device, is_token, refresh_cookie};
use crate::http::json::Json;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::response::{Answer, Envelope};
use crate::openapi::{ChangesThings, ChecksPassword, Refusals, TakesJson};
use crate::state::App;

/// Only for clients without cookies.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Presented {
    #[schema(value_type = Option<String>)]
    refresh_token: Option<SecretString>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refreshed {
    access_token: String,
    refresh_token: String,
}

/// Exchanges a refresh token, in the cookie or else in the body, for new tokens.
///
/// A token that was exchanged before ends its session, but for a client that asked twice at once.
#[utoipa::path(
    post,
    path = "/api/v1/users/refresh-token",
    operation_id = "refreshToken",
    request_body(content((Option<Presented> = "application/json"), (Option<Presented> = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "The new tokens", body = Envelope<Refreshed>,
            headers(("Set-Cookie" = String, description = "`accessToken` and `refreshToken`"))),
        Refusals<(ChecksPassword, TakesJson, ChangesThings)>,
    ),
)]
pub(crate) async fn refresh_token(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Json(body): Json<Presented>,
) -> Result<(CookieJar, Answer<Refreshed>), Problem> {
    let in_body = body.refresh_token.filter(|token| is_token(token.expose_secret()));
    let token = refresh_cookie(&headers).map(SecretString::from).or(in_body);
    let token = token.ok_or_else(|| Problem::new(ProblemKind::Unauthorized, "there is no refresh token; sign in"))?;
    let tokens = app.auth.refresh_session(token.expose_secret(), &Device::new(&headers, address)).await?;
    let cookies = app.auth.signed_in_cookies(&tokens);
    let refreshed = Refreshed { access_token: tokens.access, refresh_token: tokens.refresh };
    Ok((cookies, Answer::ok(refreshed, "Access token refreshed")))
}
