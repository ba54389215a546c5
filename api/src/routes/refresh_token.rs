//! `POST /api/v1/users/refresh-token`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum_extra::extract::cookie::CookieJar;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::App;
use crate::answer::Answer;
use crate::auth::session::{self, Device};
use crate::auth::{ClientAddress, cookies, is_token, refresh_cookie};
use crate::json::Json;
use crate::problem::{Problem, ProblemKind};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Presented {
    refresh_token: Option<SecretString>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refreshed {
    access_token: String,
    refresh_token: String,
}

/// Exchanges a refresh token, in the cookie or else in the body, for new tokens.
pub(crate) async fn refresh_token(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Json(body): Json<Presented>,
) -> Result<(CookieJar, Answer<Refreshed>), Problem> {
    let in_body = body.refresh_token.filter(|token| is_token(token.expose_secret()));
    let token = refresh_cookie(&headers).map(SecretString::from).or(in_body);
    let token = token.ok_or_else(|| Problem::new(ProblemKind::Unauthorized, "there is no refresh token; sign in"))?;
    let tokens = session::refresh(&app, token.expose_secret(), &Device::new(&headers, address)).await?;
    let (access_token, refresh_token) = tokens.expose();
    let refreshed = Refreshed { access_token, refresh_token };
    Ok((cookies::signed_in(&app, &tokens), Answer::ok(refreshed, "Access token refreshed")))
}
