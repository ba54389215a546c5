//! Users as others see them: `GET /api/v1/users/c/:username`.

use axum::extract::State;
use messages::UserId;
use serde::Serialize;
use store::{Channel, Profile};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::media::processing::ImagesProcessing;
use super::users::views::image_url;
use crate::auth::{Presented, not_signed_in};
use crate::http::{Answer, Envelope, PathText, Problem, ProblemKind};
use crate::openapi::{self, NeedsUser, Refusals, TakesId, schemas};
use crate::state::App;

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::tagged("channels", "Users as others see them", OpenApiRouter::new().routes(routes!(show)))
}

/// A channel as one of its readers sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Channel)]
#[serde(rename_all = "camelCase")]
struct ChannelView {
    #[serde(rename = "_id")]
    #[schema(schema_with = schemas::object_id)]
    id: UserId,
    full_name: String,
    username: String,
    email: String,
    avatar: String,
    cover_image: String,
    subscribers_count: i64,
    channels_subscribed_to_count: i64,
    is_subscribed: bool,
    /// Of one's own channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    processing: Option<ImagesProcessing>,
}

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
async fn show(
    State(app): State<App>,
    Presented(bearer): Presented,
    PathText(username): PathText,
) -> Result<Answer<ChannelView>, Problem> {
    let Channel { user, counts, is_subscribed } =
        match app.store.channels().profile(bearer.user, bearer.session, &username).await? {
            Profile::NotSignedIn => return Err(not_signed_in()),
            Profile::Unknown => return Err(Problem::new(ProblemKind::NotFound, "there is no such channel")),
            Profile::Shown(channel) => *channel,
        };
    let view = ChannelView {
        processing: (user.id == bearer.user).then(|| ImagesProcessing::of(&user)),
        id: user.id,
        full_name: user.full_name,
        username: user.username,
        email: user.email,
        avatar: image_url(&app, user.avatar),
        cover_image: image_url(&app, user.cover_image),
        subscribers_count: counts.subscribers_count,
        channels_subscribed_to_count: counts.channels_subscribed_to_count,
        is_subscribed,
    };
    Ok(Answer::ok(view, "User channel fetched successfully"))
}
