//! What clients see of who subscribes to whom.

#![allow(unused_qualifications, reason = "in the macro of an inlined schema")]

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use messages::UserId;
use serde::Serialize;
use store::{Subscription, User};
use time::OffsetDateTime;
use utoipa::openapi::schema::OneOfBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::http::response::{always_true, iso};
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
    #[schema(inline)]
    subscriber: IdOrUser,
    #[schema(inline)]
    channel: IdOrUser,
    #[serde(serialize_with = "iso::serialize")]
    #[schema(value_type = String, format = DateTime)]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "iso::serialize")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: OffsetDateTime,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum IdOrUser {
    Id(UserId),
    User(UserInListView),
}

impl PartialSchema for IdOrUser {
    fn schema() -> RefOr<Schema> {
        let user = Ref::from_schema_name(UserInListView::name());
        Schema::from(OneOfBuilder::new().item(schemas::object_id()).item(user)).into()
    }
}

impl ToSchema for IdOrUser {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((UserInListView::name().into_owned(), UserInListView::schema()));
    }
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

/// What a change of a subscription answers. Front ends read either.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Standing)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StandingView {
    subscribed: bool,
    is_subscribed: bool,
}

impl StandingView {
    pub(crate) fn new(subscribed: bool) -> Self {
        Self { subscribed, is_subscribed: subscribed }
    }
}

/// A list in the envelope of every success, with the way to the rest of it beside `data`, which is the list itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SubscriptionPage)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listing {
    #[schema(minimum = 200, maximum = 200)]
    status_code: u16,
    data: Vec<SubscriptionView>,
    message: &'static str,
    #[schema(schema_with = always_true)]
    success: bool,
    // What to ask for as `cursor` to get more; null at the end.
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{24}$", required)]
    next_cursor: Option<String>,
}

impl Listing {
    pub(crate) fn new(data: Vec<SubscriptionView>, message: &'static str, next_cursor: Option<String>) -> Self {
        Self { status_code: 200, data, message, success: true, next_cursor }
    }
}

impl IntoResponse for Listing {
    fn into_response(self) -> Response {
        let no_store = [(header::CACHE_CONTROL, "no-store")];
        (StatusCode::OK, no_store, axum::Json(self)).into_response()
    }
}
