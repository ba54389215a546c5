//! What clients see of channels and of who subscribes to whom.

use messages::UserId;
use serde::Serialize;
use store::{Channel, Subscription, User};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{image_url, iso};
use crate::App;
use crate::openapi::schemas;

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

/// A user in passing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserInList)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserInListView {
    #[serde(rename = "_id")]
    #[schema(schema_with = schemas::object_id)]
    id: UserId,
    username: String,
    full_name: String,
    avatar: String,
}

impl UserInListView {
    pub(crate) fn new(app: &App, user: User) -> Self {
        Self { id: user.id, username: user.username, full_name: user.full_name, avatar: image_url(app, user.avatar) }
    }
}

/// A subscription, with whoever the list is about as an id and the other one as a user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscriptionView {
    #[serde(rename = "_id")]
    #[schema(schema_with = schemas::object_id)]
    id: String,
    #[schema(schema_with = schemas::id_or_user)]
    subscriber: IdOrUser,
    #[schema(schema_with = schemas::id_or_user)]
    channel: IdOrUser,
    #[serde(serialize_with = "iso")]
    #[schema(schema_with = schemas::time)]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "iso")]
    #[schema(schema_with = schemas::time)]
    updated_at: OffsetDateTime,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum IdOrUser {
    Id(UserId),
    User(UserInListView),
}

impl SubscriptionView {
    pub(crate) fn with_subscriber(subscription: Subscription, subscriber: UserInListView) -> Self {
        let channel = IdOrUser::Id(subscription.channel);
        Self::new(subscription, IdOrUser::User(subscriber), channel)
    }

    pub(crate) fn with_channel(subscription: Subscription, channel: UserInListView) -> Self {
        let subscriber = IdOrUser::Id(subscription.subscriber);
        Self::new(subscription, subscriber, IdOrUser::User(channel))
    }

    fn new(subscription: Subscription, subscriber: IdOrUser, channel: IdOrUser) -> Self {
        let Subscription { id, created_at, updated_at, .. } = subscription;
        Self { id, subscriber, channel, created_at, updated_at }
    }
}
