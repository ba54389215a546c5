//! What clients see of who subscribes to whom.

use messages::UserId;
use serde::Serialize;
use store::{Subscription, User};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::http::response::iso;
use crate::openapi::schemas;
use crate::routes::users::views::image_url;
use crate::state::App;

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
