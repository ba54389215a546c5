//! What clients see of users. Fields are named as in chai-backend where it has them.

use messages::UserId;
use serde::Serialize;
use store::{Image, User};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::http::response::iso;
use crate::openapi::schemas;
use crate::routes::media::processing::ImagesProcessing;
use crate::state::App;

/// A user. Never holds a password or a token, because [`User`] does not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserView {
    #[serde(rename = "_id")]
    #[schema(schema_with = schemas::object_id)]
    id: UserId,
    #[schema(example = "ada")]
    username: String,
    #[schema(example = "ada@example.com")]
    email: String,
    #[schema(example = "Ada Lovelace")]
    full_name: String,
    /// An address that works, or nothing.
    avatar: String,
    /// An address that works, or nothing.
    cover_image: String,
    /// Ids of videos.
    watch_history: Vec<String>,
    #[serde(serialize_with = "iso::serialize")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "iso::serialize")]
    updated_at: OffsetDateTime,
    processing: ImagesProcessing,
}

impl UserView {
    pub(crate) fn new(app: &App, user: User) -> Self {
        Self {
            processing: ImagesProcessing::of(&user),
            id: user.id,
            avatar: image_url(app, user.avatar),
            cover_image: image_url(app, user.cover_image),
            username: user.username,
            email: user.email,
            full_name: user.full_name,
            watch_history: user.watch_history,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// The upload that is on its way if there is one, because it can be seen at once; else what is ready, else `""`.
pub(crate) fn image_url(app: &App, image: Image) -> String {
    match image.pending {
        Some(asset) => app.media_url(asset, image.content_type.as_deref()),
        None => image.url,
    }
}
