//! What clients see of who subscribes to whom.

#![allow(unused_qualifications, reason = "in the macro of an inlined schema")]

use messages::UserId;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::openapi::schema::OneOfBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::http::response::iso;
use crate::openapi::schemas;

/// A user in passing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserInList)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserInListView {
    #[serde(rename = "_id")]
    #[schema(schema_with = schemas::object_id)]
    pub(super) id: UserId,
    pub(super) username: String,
    pub(super) full_name: String,
    pub(super) avatar: String,
}

/// A subscription, with whoever the list is about as an id and the other one as a user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscriptionView {
    #[serde(rename = "_id")]
    #[schema(schema_with = schemas::object_id)]
    pub(super) id: String,
    #[schema(inline)]
    pub(super) subscriber: IdOrUser,
    #[schema(inline)]
    pub(super) channel: IdOrUser,
    #[serde(serialize_with = "iso::serialize")]
    pub(super) created_at: OffsetDateTime,
    #[serde(serialize_with = "iso::serialize")]
    pub(super) updated_at: OffsetDateTime,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum IdOrUser {
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

/// What a change of a subscription answers. Front ends read either.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Standing)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StandingView {
    pub(super) subscribed: bool,
    pub(super) is_subscribed: bool,
}
