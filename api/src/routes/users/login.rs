//! `POST /api/v1/users/login` and `POST /api/v1/users/refresh-token`.

use std::net::IpAddr;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::CookieJar;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use store::{PasswordHash, User};
use tracing::Instrument;
use utoipa::ToSchema;

use crate::auth::{
    Asker, ClientAddress, Device, Guard, Rule, UniformDelay, Verdict, is_token, key, network, party, refresh_cookie,
};
use crate::http::{Answer, Envelope, FieldError, Json, Problem, ProblemKind};
use crate::openapi::{ChangesThings, ChecksPassword, LimitsAttempts, Refusals, TakesJson};
use crate::routes::users::views::UserView;
use crate::state::App;

/// How long an address stays known to an account that was used from it.
const KNOWN_FOR: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 60 * 60);

/// A name and a password.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Credentials {
    /// This or `email` is required; both may be sent, and may be the same.
    #[schema(example = "ada")]
    username: Option<String>,
    email: Option<String>,
    #[schema(value_type = String, required, format = Password, min_length = 1, example = "analytical engine")]
    password: Option<SecretString>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignedIn {
    user: UserView,
    /// For `Authorization: Bearer`. The same as in the cookie.
    access_token: String,
    /// For `/users/refresh-token`. The same as in the cookie.
    refresh_token: String,
}

/// Signs in by username or email.
///
/// An unknown user and a wrong password get the same answer after the same time.
#[utoipa::path(
    post,
    path = "/api/v1/users/login",
    operation_id = "login",
    request_body(content((Credentials = "application/json"), (Credentials = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "The user and the tokens of a new session", body = Envelope<SignedIn>,
            headers(("Set-Cookie" = String, description = "`accessToken` and `refreshToken`: HttpOnly, SameSite, Secure where served over TLS"))),
        Refusals<(ChecksPassword, TakesJson, ChangesThings, LimitsAttempts)>,
    ),
)]
pub(crate) async fn login(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Json(credentials): Json<Credentials>,
) -> Response {
    let mut guard = Guard::new(&app.store);
    let result = sign_in(&app, &mut guard, credentials, &Device::new(&headers, address)).await;
    guard.mark(result.into_response())
}

/// Signs in, and answers the cookies of a new session beside the answer. Whoever calls it marks its answer with the guard.
pub(crate) async fn sign_in(
    app: &App,
    guard: &mut Guard<'_>,
    credentials: Credentials,
    device: &Device,
) -> Result<(CookieJar, Answer<SignedIn>), Problem> {
    let username = given(credentials.username.as_deref());
    let email = given(credentials.email.as_deref());
    let password = credentials.password.unwrap_or_default();
    let mut errors = Vec::new();
    if username.is_none() && email.is_none() {
        errors.push(FieldError::new("username", "or email is required"));
    }
    if password.expose_secret().is_empty() {
        errors.push(FieldError::new("password", "is required"));
    }
    Problem::invalid_fields(errors)?;
    let asker = admit(app, guard, [email, username], device.address).await?;

    let delay = UniformDelay::begin(app.auth.settings.login_refusal_time);
    let found = app.store.users().find_for_sign_in(username, email).await?;
    let hash = found.as_ref().map(|found| found.hash.clone());
    let checked = match app.auth.passwords.check(&asker, password.clone(), hash).await {
        Ok(checked) => checked,
        Err(problem) => {
            guard.forgive().await;
            return Err(problem);
        }
    };
    let wrong = async || {
        delay.wait(checked.waited).await;
        Problem::new(ProblemKind::Unauthorized, "the username, email or password is wrong")
    };
    let found = found.filter(|_| checked.verdict != Verdict::Wrong);
    let Some(found) = found else { return Err(wrong().await) };
    let Some(tokens) = app.auth.begin_session(&found, device).await? else { return Err(wrong().await) };

    guard.forgive().await;
    remember_address(app, &found.user, device.address).await;
    let cookies = app.auth.signed_in_cookies(&tokens);
    if checked.verdict == Verdict::RightButOutdated {
        upgrade_later(app, asker, &found.user, found.hash, password);
    }
    let user = UserView::new(app, found.user);
    let signed_in = SignedIn { user, access_token: tokens.access, refresh_token: tokens.refresh };
    Ok((cookies, Answer::ok(signed_in, "User logged in successfully")))
}

/// Counts a try to sign in by these names from an address. Names count whether somebody has them or not.
///
/// Strangers to an account, addresses from which it was not used lately, share a limit of their own and cannot use up the
/// owner's. One of them, in IPv6 a whole line, adds no more to it than the account's own limit lets it try, so using it up
/// takes several. No header shows it: only an account that exists was ever used.
async fn admit(app: &App, guard: &mut Guard<'_>, names: [Option<&str>; 2], address: IpAddr) -> Result<Asker, Problem> {
    let (limits, network, party) = (&app.auth.settings, network(address), party(address));
    // First, so that one address cannot make us count for ever more accounts.
    guard.admit(vec![Rule::new("address", limits.login_limit_address, key("login-address", &[&network]))]).await?;
    let mut names: Vec<String> = names.into_iter().flatten().map(store::normalised).collect();
    names.dedup();
    let account = |name: &String| Rule::new("account", limits.login_limit_account, key("login", &[name, &network]));
    guard.admit(names.iter().map(account).collect()).await?;
    let (mut strangers, mut is_known) = (Vec::new(), false);
    for name in &names {
        if app.store.rate_limits().is_noted(&known(name, &party)).await? {
            is_known = true;
            continue;
        }
        strangers.push(Rule::untold(limits.login_limit_strangers, key("login-strangers", &[name])));
        if party != network {
            strangers.push(Rule::untold(limits.login_limit_account, key("login-line", &[name, &party])));
        }
    }
    guard.admit(strangers).await?;
    Ok(Asker { party, is_known })
}

fn known(name: &str, party: &str) -> String {
    key("known", &[name, party])
}

/// Under both names, whichever is used the next time. If that fails, the address stays a stranger.
async fn remember_address(app: &App, user: &User, address: IpAddr) {
    let party = party(address);
    let (by_name, by_email) = (known(&user.username, &party), known(&user.email, &party));
    let (one, other) = tokio::join!(
        app.store.rate_limits().note(&by_name, KNOWN_FOR),
        app.store.rate_limits().note(&by_email, KNOWN_FOR)
    );
    if let Err(error) = one.and(other) {
        tracing::warn!(%error, "cannot remember the address of a sign-in");
    }
}

fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// Replaces an outdated hash while the password is at hand. If that fails, the next sign-in does it.
fn upgrade_later(app: &App, asker: Asker, user: &User, old: PasswordHash, password: SecretString) {
    let (work, id) = (app.clone(), user.id);
    let upgrading = async move {
        let new = work.auth.passwords.hash(&asker, password).await?;
        work.store.users().replace_password_hash(id, &old, new.expose()).await?;
        Ok::<(), Problem>(())
    };
    let upgrading = async move {
        if let Err(problem) = upgrading.await {
            tracing::debug!(user = %id, kind = ?problem.kind(), "cannot replace an outdated password hash now");
        }
    };
    app.tasks.spawn(upgrading.in_current_span());
}

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
