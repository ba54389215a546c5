//! `PATCH /api/v1/users/update-account`.

use axum::extract::State;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::registration::{fields_in_error, printable};
use crate::auth::Caller;
use crate::http::json::Json;
use crate::http::problem::{FieldError, Problem};
use crate::http::response::{Answer, Envelope};
use crate::openapi::{ChangesThings, MakesUnique, NeedsUser, Refusals, TakesJson};
use crate::routes::users::views::UserView;
use crate::state::App;

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

/// Changes that have been checked; with the same rules as at registration.
#[derive(Debug, Validate)]
struct Checked {
    #[garde(inner(length(chars, min = 1, max = 100), custom(printable)))]
    full_name: Option<String>,
    #[garde(inner(email, length(bytes, max = 254), custom(printable)))]
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

fn check(changes: Changes) -> Result<Checked, Problem> {
    let checked = Checked {
        full_name: changes.full_name.map(|text| text.trim().to_owned()),
        email: changes.email.map(|text| store::normalised(text.trim())),
    };
    let mut errors = Vec::new();
    if checked.full_name.is_none() && checked.email.is_none() {
        let required = |field: &'static str| FieldError { field: field.into(), message: "is required".into() };
        errors.extend([required("fullName"), required("email")]);
    }
    if let Err(report) = checked.validate() {
        let is_empty = |field: &str| {
            let value = if field == "fullName" { &checked.full_name } else { &checked.email };
            value.as_ref().is_some_and(String::is_empty)
        };
        errors.extend(fields_in_error(&report, is_empty));
    }
    Problem::invalid_fields(errors)?;
    Ok(checked)
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
