//! `GET /api/v1/users/c/:username`: a channel as the signed-in user sees it.

use axum::extract::State;
use store::Channel;

use crate::answer::{Answer, Envelope};
use crate::auth::SignedIn;
use crate::openapi::{NeedsUser, Refusals, TakesId};
use crate::path_id::PathText;
use crate::problem::{Problem, ProblemKind};
use crate::views::ChannelView;
use crate::{App, paths};

/// The profile of a channel.
///
/// It costs two indexed look-ups, however many subscribe to it.
#[utoipa::path(
    get,
    path = paths::CHANNEL,
    operation_id = "getChannel",
    tag = "channels",
    params(("username" = String, Path, description = "The channel's username, in any case")),
    security(("cookie" = []), ("bearer" = [])),
    responses((status = 200, description = "The channel", body = Envelope<ChannelView>), Refusals<(NeedsUser, TakesId)>),
)]
pub(crate) async fn show(
    State(app): State<App>,
    SignedIn(reader): SignedIn,
    PathText(username): PathText,
) -> Result<Answer<ChannelView>, Problem> {
    let unknown = || Problem::new(ProblemKind::NotFound, "there is no such channel");
    let channel: Channel = app.store().find_channel(&username, &reader).await?.ok_or_else(unknown)?;
    Ok(Answer::ok(ChannelView::new(&app, channel), "User channel fetched successfully"))
}
