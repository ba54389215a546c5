//! What clients see of assets. Fields are named as in chai-backend where it has them.

use messages::{AssetId, JobId};
use serde::Serialize;
use store::{Asset, AssetState, NewUpload};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::processing::Processing;
use crate::http::response::iso;
use crate::openapi::schemas;
use crate::state::App;

/// An uploaded file as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Asset)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssetView {
    #[serde(rename = "_id")]
    #[schema(schema_with = schemas::object_id)]
    id: AssetId,
    #[schema(schema_with = schemas::asset_state)]
    state: &'static str,
    /// An address that works; nothing once it has failed.
    url: String,
    #[schema(schema_with = schemas::resource_type)]
    resource_type: &'static str,
    #[schema(example = "image/jpeg")]
    content_type: String,
    bytes: u64,
    /// What the client called it, without what does harm where it is shown.
    #[schema(max_length = 255)]
    original_name: String,
    /// Pixels, once the media host has told them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    width: Option<u32>,
    /// Pixels, once the media host has told them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    height: Option<u32>,
    /// Seconds, of a video, once the media host has told them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    duration: Option<f64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    job: JobLinkOfAsset,
    #[serde(serialize_with = "iso::serialize")]
    created_at: OffsetDateTime,
    #[serde(serialize_with = "iso::serialize")]
    updated_at: OffsetDateTime,
    processing: Processing,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AssetJob)]
struct JobLinkOfAsset {
    #[schema(value_type = String, format = Uuid)]
    id: JobId,
    #[schema(format = Uri)]
    url: String,
}

impl AssetView {
    pub(crate) fn new(app: &App, asset: Asset) -> Self {
        let stored = asset.stored.as_ref();
        Self {
            processing: Processing::of(&asset),
            id: asset.id,
            state: asset.state.as_str(),
            url: match (asset.state, stored) {
                (AssetState::Ready, Some(stored)) => stored.url.clone(),
                (AssetState::Pending, _) => app.media_url(asset.id, Some(&asset.media_type.content_type)),
                _ => String::new(),
            },
            resource_type: asset.media_type.resource_type.as_str(),
            width: stored.and_then(|stored| stored.width),
            height: stored.and_then(|stored| stored.height),
            duration: stored.and_then(|stored| stored.duration),
            content_type: asset.media_type.content_type,
            bytes: asset.bytes,
            original_name: asset.original_name,
            reason: asset.reason,
            job: JobLinkOfAsset { id: asset.job, url: app.job_url(asset.job) },
            created_at: asset.created_at,
            updated_at: asset.updated_at,
        }
    }

    /// An upload that is about to be accepted.
    pub(crate) fn of_upload(app: &App, upload: &NewUpload, now: OffsetDateTime) -> Self {
        Self {
            id: upload.asset,
            state: AssetState::Pending.as_str(),
            url: app.media_url(upload.asset, Some(&upload.media_type.content_type)),
            resource_type: upload.media_type.resource_type.as_str(),
            content_type: upload.media_type.content_type.clone(),
            bytes: upload.bytes,
            original_name: upload.original_name.clone(),
            width: None,
            height: None,
            duration: None,
            reason: None,
            job: JobLinkOfAsset { id: upload.job, url: app.job_url(upload.job) },
            created_at: now,
            updated_at: now,
            processing: Processing::pending(Some(&upload.media_type.content_type)),
        }
    }
}

/// A page as mongoose-aggregate-paginate-v2 gives it to front ends of chai-backend.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AssetPage)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listing {
    docs: Vec<AssetView>,
    total_docs: u64,
    #[schema(minimum = 1, maximum = 100)]
    limit: u64,
    #[schema(minimum = 1)]
    page: u64,
    total_pages: u64,
    paging_counter: u64,
    has_prev_page: bool,
    has_next_page: bool,
    #[schema(required)]
    prev_page: Option<u64>,
    #[schema(required)]
    next_page: Option<u64>,
}

impl Listing {
    pub(crate) fn new(docs: Vec<AssetView>, total_docs: u64, page: u64, limit: u64) -> Self {
        let total_pages = total_docs.div_ceil(limit).max(1);
        Self {
            docs,
            total_docs,
            limit,
            page,
            total_pages,
            paging_counter: (page - 1) * limit + 1,
            has_prev_page: page > 1,
            has_next_page: page < total_pages,
            prev_page: (page > 1).then(|| page - 1),
            next_page: (page < total_pages).then(|| page + 1),
        }
    }
}
