//! `GET /api/v1/users/current-user`.

use axum::extract::State;

use crate::App;
use crate::answer::Answer;
use crate::auth::SignedIn;
use crate::views::UserView;

/// Who is signed in.
pub(crate) async fn current_user(State(app): State<App>, SignedIn(user): SignedIn) -> Answer<UserView> {
    Answer::ok(UserView::new(&app, user), "Current user fetched successfully")
}
