//! `GET /api/v1/users/current-user` and `PATCH /api/v1/users/update-account`.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::registration::{refusal_of_email, refusal_of_full_name};
use crate::auth::Caller;
use crate::http::{Answer, Envelope, FieldError, Json, Problem};
use crate::openapi::{ChangesThings, MakesUnique, NeedsUser, Refusals, TakesJson};
use crate::routes::users::views::UserView;
use crate::state::App;

/// Who is signed in.
#[utoipa::path(
    get,
    path = "/api/v1/users/current-user",
    operation_id = "getCurrentUser",
    security(("cookie" = []), ("bearer" = [])),
    responses((status = 200, description = "The user", body = Envelope<UserView>), Refusals<(NeedsUser,)>),
)]
pub(crate) async fn current_user(State(app): State<App>, Caller { user, .. }: Caller) -> Answer<UserView> {
    Answer::ok(UserView::new(&app, user), "Current user fetched successfully")
}

/// At least one of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Changes {
    #[schema(min_length = 1, max_length = 100, example = "Ada King")]
    full_name: Option<String>,
    /// Kept in lower case; nobody else may have it.
    #[schema(format = Email, max_length = 254, example = "ada@example.com")]
    email: Option<String>,
}

/// Changes the full name, the email address, or both. What is not sent stays.
#[utoipa::path(
    patch,
    path = "/api/v1/users/update-account",
    operation_id = "updateAccount",
    request_body(content((Changes = "application/json"), (Changes = "application/x-www-form-urlencoded"))),
    security(("cookie" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "The user as changed", body = Envelope<UserView>),
        Refusals<(NeedsUser, TakesJson, MakesUnique, ChangesThings)>,
    ),
)]
pub(crate) async fn update_account(
    State(app): State<App>,
    Caller { user, .. }: Caller,
    Json(changes): Json<Changes>,
) -> Result<Answer<UserView>, Problem> {
    let changes = check(changes)?;
    let (full_name, email) = (changes.full_name.as_deref(), changes.email.as_deref());
    let user = app.store.users().update(user.id, full_name, email).await?;
    Ok(Answer::ok(UserView::new(&app, user), "Account details updated successfully"))
}

/// Checks what is sent, by the same rules as at registration.
fn check(changes: Changes) -> Result<Changes, Problem> {
    let full_name = changes.full_name.map(|text| text.trim().to_owned());
    let email = changes.email.map(|text| store::normalised(text.trim()));
    let (name_error, email_error) = match (&full_name, &email) {
        (None, None) => (Some("is required"), Some("is required")),
        _ => (full_name.as_deref().and_then(refusal_of_full_name), email.as_deref().and_then(refusal_of_email)),
    };
    let errors = [("fullName", name_error), ("email", email_error)].into_iter();
    Problem::invalid_fields(errors.filter_map(|(field, error)| Some(FieldError::new(field, error?))).collect())?;
    Ok(Changes { full_name, email })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_checked_and_what_is_not_stays() {
        let changed = |full_name: Option<&str>, email: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            check(Changes { full_name: owned(full_name), email: owned(email) })
        };
        let checked = changed(Some(" Ada "), Some(" Ada@Example.com ")).expect("all is well");
        assert_eq!((checked.full_name.as_deref(), checked.email.as_deref()), (Some("Ada"), Some("ada@example.com")));
        assert_eq!(changed(Some("Ada"), None).expect("all is well").email, None);
        for (full_name, email) in [(None, None), (Some(" "), None), (Some("Ada"), Some("")), (None, Some("ada"))] {
            assert!(changed(full_name, email).is_err(), "{full_name:?} {email:?}");
        }
    }
}
