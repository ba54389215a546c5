//! `GET /api/v1/users/current-user`.

use axum::extract::State;

use crate::answer::{Answer, Envelope};
use crate::auth::SignedIn;
use crate::openapi::{NeedsUser, Refusals};
use crate::views::UserView;
use crate::{App, paths};

/// Who is signed in.
#[utoipa::path(
    get,
    path = paths::CURRENT_USER,
    operation_id = "getCurrentUser",
    tag = "users",
    security(("cookie" = []), ("bearer" = [])),
    responses((status = 200, description = "The user", body = Envelope<UserView>), Refusals<(NeedsUser,)>),
)]
pub(crate) async fn current_user(State(app): State<App>, SignedIn(user): SignedIn) -> Answer<UserView> {
    Answer::ok(UserView::new(&app, user), "Current user fetched successfully")
}
