//! `GET /api/v1/users/c/:username`: a channel as the signed-in user sees it.

use axum::extract::State;
use store::Channel;

use crate::App;
use crate::answer::Answer;
use crate::auth::SignedIn;
use crate::path_id::PathText;
use crate::problem::{Problem, ProblemKind};
use crate::views::ChannelView;

/// The profile of a channel: two indexed look-ups, however many subscribe to it.
pub(crate) async fn show(
    State(app): State<App>,
    SignedIn(reader): SignedIn,
    PathText(username): PathText,
) -> Result<Answer<ChannelView>, Problem> {
    let unknown = || Problem::new(ProblemKind::NotFound, "there is no such channel");
    let channel: Channel = app.store().find_channel(&username, &reader).await?.ok_or_else(unknown)?;
    Ok(Answer::ok(ChannelView::new(&app, channel), "User channel fetched successfully"))
}
