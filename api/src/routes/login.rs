//! `POST /api/v1/users/login`.

use axum::extract::State;
use axum_extra::extract::cookie::CookieJar;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use store::{PasswordHash, User};

use crate::App;
use crate::answer::Answer;
use crate::auth::{Verdict, access_cookie};
use crate::json::Json;
use crate::problem::{FieldError, Problem, ProblemKind};
use crate::views::UserView;

#[derive(Debug, Deserialize)]
pub(crate) struct Credentials {
    username: Option<String>,
    email: Option<String>,
    password: Option<SecretString>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    user: UserView,
    access_token: String,
}

/// Signs in by username or email. An unknown user and a wrong password get the same answer after the same time.
pub(crate) async fn login(
    State(app): State<App>,
    Json(credentials): Json<Credentials>,
) -> Result<(CookieJar, Answer<Session>), Problem> {
    let username = given(credentials.username.as_deref());
    let email = given(credentials.email.as_deref());
    let password = credentials.password.filter(|password| !password.expose_secret().is_empty());
    let (Some(password), true) = (password.as_ref(), username.is_some() || email.is_some()) else {
        return Err(incomplete(username.is_some() || email.is_some(), password.is_some()));
    };

    let found = app.store().find_for_login(username, email).await?;
    let hash = found.as_ref().map(|(_, hash)| SecretString::from(hash.expose()));
    let verdict = app.passwords().check(password.clone(), hash).await?;
    let (user, hash) = match (verdict, found) {
        (Verdict::Right | Verdict::RightButOutdated, Some(found)) => found,
        _ => return Err(Problem::new(ProblemKind::Unauthorized, "the username, email or password is wrong")),
    };
    if verdict == Verdict::RightButOutdated {
        upgrade_later(&app, &user, hash, password.clone());
    }

    let access_token = app.tokens().issue(&user).map_err(Problem::internal)?;
    let cookie = access_cookie(access_token.clone(), app.tokens().lifetime(), app.is_secure());
    let session = Session { user: UserView::new(&app, user), access_token };
    Ok((CookieJar::new().add(cookie), Answer::ok(session, "User logged in successfully")))
}

/// What was typed, without blanks around it; nothing if that is all there is.
fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn incomplete(has_name: bool, has_password: bool) -> Problem {
    let required =
        |field: &'static str, message: &'static str| FieldError { field: field.into(), message: message.into() };
    let mut errors = Vec::new();
    if !has_name {
        errors.push(required("username", "or email is required"));
    }
    if !has_password {
        errors.push(required("password", "is required"));
    }
    Problem::invalid_fields(errors)
        .unwrap_or_else(|| Problem::new(ProblemKind::Invalid, "username and password are required"))
}

/// Replaces a hash of the original by one of ours, while the password is at hand. If anything is in the way, the next
/// sign-in does it.
fn upgrade_later(app: &App, user: &User, old: PasswordHash, password: SecretString) {
    let (app, id) = (app.clone(), user.id);
    app.clone().tasks().spawn(async move {
        let upgraded = match app.passwords().hash(password).await {
            Ok(new) => app.store().replace_password_hash(id, &old, new.expose_secret()).await.map_err(Problem::from),
            Err(error) => Err(Problem::from(error)),
        };
        if let Err(problem) = upgraded {
            tracing::debug!(user = %id, kind = ?problem.kind(), "an old password hash stays for now");
        }
    });
}
