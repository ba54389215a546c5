//! `POST /api/v1/users/change-password`.

use std::net::IpAddr;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::{Asker, Caller, ClientAddress, Guard, Rule, Verdict, key, party, refusal_of_password};
use crate::http::{Answer, Envelope, FieldError, Json, Nothing, Problem, ProblemKind};
use crate::openapi::{ChangesThings, ChecksPassword, LimitsAttempts, NeedsUser, Refusals, TakesJson};
use crate::state::App;

/// The password as it is, and as it shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Passwords {
    #[schema(value_type = String, required, format = Password, min_length = 1)]
    old_password: Option<SecretString>,
    /// None of the most common ones, and not the user's own name or address.
    #[schema(value_type = String, required, format = Password, min_length = 8, max_length = 128)]
    new_password: Option<SecretString>,
}

/// Gives the user another password.
///
/// Every other session ends with it, access tokens included; the one that asks goes on.
#[utoipa::path(
    post,
    path = "/api/v1/users/change-password",
    operation_id = "changePassword",
    request_body(content((Passwords = "application/json"), (Passwords = "application/x-www-form-urlencoded"))),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "It is changed", body = Envelope<Nothing>),
        Refusals<(NeedsUser, ChecksPassword, TakesJson, ChangesThings, LimitsAttempts)>,
    ),
)]
pub(crate) async fn change_password(
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    caller: Caller,
    Json(passwords): Json<Passwords>,
) -> Response {
    let mut guard = Guard::new(&app.store);
    let result = change(&app, &mut guard, caller, address, passwords).await;
    guard.mark(result.into_response())
}

async fn change(
    app: &App,
    guard: &mut Guard<'_>,
    caller: Caller,
    address: IpAddr,
    passwords: Passwords,
) -> Result<Answer<Nothing>, Problem> {
    let old = passwords.old_password.unwrap_or_default();
    let new = passwords.new_password.unwrap_or_default();
    let user = caller.user;
    let mut errors = Vec::new();
    if old.expose_secret().is_empty() {
        errors.push(FieldError::new("oldPassword", "is required"));
    }
    if let Some(message) = refusal_of_password(new.expose_secret(), &user.username, &user.email) {
        errors.push(FieldError::new("newPassword", message));
    }
    Problem::invalid_fields(errors)?;

    // A stolen session must not serve to guess the password.
    let limit = app.auth.settings.login_limit_account;
    guard.admit(vec![Rule::new("account", limit, key("password", &[&user.id.to_string()]))]).await?;
    let gone = || Problem::new(ProblemKind::Unauthorized, "this session has ended; sign in again");
    let known = app.store.users().find_credentials(user.id).await?.ok_or_else(gone)?;
    let asker = Asker { party: party(address), is_known: true };
    let checked = app.auth.passwords.check(&asker, old, Some(known.hash)).await;
    let hashed = match checked.map(|checked| checked.verdict) {
        Ok(Verdict::Wrong) => return Err(Problem::invalid("oldPassword", "is wrong")),
        Ok(Verdict::Right | Verdict::RightButOutdated) => app.auth.passwords.hash(&asker, new).await,
        Err(problem) => Err(problem),
    };
    guard.forgive().await;
    if !app.store.users().change_password(user.id, caller.session, known.version, &hashed?).await? {
        return Err(gone());
    }
    Ok(Answer::ok(Nothing {}, "Password changed successfully"))
}
