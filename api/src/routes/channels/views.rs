//! What clients see of channels.

use messages::UserId;
use serde::Serialize;
use store::Channel;
use utoipa::ToSchema;

use crate::openapi::schemas;
use crate::routes::users::views::image_url;
use crate::state::App;

/// A channel as one of its readers sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Channel)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChannelView {
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
}

impl ChannelView {
    pub(crate) fn new(app: &App, channel: Channel) -> Self {
        let Channel { user, counts, is_subscribed } = channel;
        Self {
            id: user.id,
            full_name: user.full_name,
            username: user.username,
            email: user.email,
            avatar: image_url(app, user.avatar),
            cover_image: image_url(app, user.cover_image),
            subscribers_count: counts.subscribers_count,
            channels_subscribed_to_count: counts.channels_subscribed_to_count,
            is_subscribed,
        }
    }
}
