//! `GET /api/v1/users/current-user`.

use axum::extract::State;

use crate::auth::Caller;
use crate::http::response::{Answer, Envelope};
use crate::openapi::{NeedsUser, Refusals};
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
