//! `GET /api/v1/users/c/:username`: a channel as the signed-in user sees it.

use axum::extract::State;
use store::Profile;

use crate::auth::{Presented, not_signed_in};
use crate::http::params::PathText;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::response::{Answer, Envelope};
use crate::openapi::{NeedsUser, Refusals, TakesId};
use crate::routes::channels::views::ChannelView;
use crate::state::App;

/// The profile of a channel.
///
/// It costs two look-ups by index, the one that finds out who asks among them, however many subscribe to it. A name that was
/// not found before takes a few more, and so does a channel that the reader has just subscribed to or left: all by index too.
#[utoipa::path(
    get,
    path = "/api/v1/users/c/{username}",
    operation_id = "getChannel",
    params(("username" = String, Path, description = "The channel's username, in any case")),
    security(("cookie" = []), ("bearer" = [])),
    responses((status = 200, description = "The channel", body = Envelope<ChannelView>), Refusals<(NeedsUser, TakesId)>),
)]
pub(crate) async fn show(
    State(app): State<App>,
    Presented(bearer): Presented,
    PathText(username): PathText,
) -> Result<Answer<ChannelView>, Problem> {
    match app.store.channels().profile(bearer.user, bearer.session, &username).await? {
        Profile::NotSignedIn => Err(not_signed_in()),
        Profile::Unknown => Err(Problem::new(ProblemKind::NotFound, "there is no such channel")),
        Profile::Shown(channel) => {
            Ok(Answer::ok(ChannelView::new(&app, *channel), "User channel fetched successfully"))
        }
    }
}
