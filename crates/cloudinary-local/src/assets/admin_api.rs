//! The admin API: looks assets up, lists, moderates and deletes them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::assets::reply::{page, summary};
use crate::assets::{Asset, DeliveryType, Identity, ResourceType, rfc3339};
use crate::http::blocking::blocking;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::notifications::{Event, tell};

pub(crate) fn ping() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

pub(crate) fn usage(request: &Request<'_>) -> Response {
    let state = &request.cx.state;
    let assets = state.store.all();
    let own = assets.iter().filter(|asset| asset.identity.cloud == request.caller.account.cloud);
    let (count, bytes) = own.fold((0_u64, 0_u64), |(count, bytes), asset| (count + 1, bytes + asset.bytes));
    Json(json!({
        "plan": "Local",
        "last_updated": request.cx.now().date().to_string(),
        "resources": count,
        "storage": { "usage": bytes },
        "requests": state.counters.total().upload_requests,
        "media_limits": {
            "image_max_size_bytes": state.config.max_image,
            "video_max_size_bytes": state.config.max_video,
            "raw_max_size_bytes": state.config.max_raw,
            "image_max_px": state.config.max_pixels,
            "asset_max_total_px": state.config.max_pixels,
        },
    }))
    .into_response()
}

pub(crate) fn resource(request: &Request<'_>, identity: &Identity) -> Result<Response, Refusal> {
    let asset = request.cx.state.store.get(identity);
    let asset = asset.ok_or_else(|| Refusal::not_found(&identity.public_id))?;
    Ok(Json(details(request, &asset)).into_response())
}

pub(crate) fn resource_by_asset_id(request: &Request<'_>, asset_id: &str) -> Result<Response, Refusal> {
    let asset = request.cx.state.store.get_by_asset_id(&request.caller.account.cloud, asset_id);
    let asset = asset.ok_or_else(|| Refusal::not_found(asset_id))?;
    Ok(Json(details(request, &asset)).into_response())
}

fn details(request: &Request<'_>, asset: &Asset) -> Map<String, Value> {
    let mut fields = asset.describe(&request.cx.state.public_url);
    if request.cx.distortions().wrong_etag {
        fields.insert("etag".to_owned(), Value::from("0".repeat(32)));
    }
    fields.insert("derived".to_owned(), json!([]));
    fields.insert("last_updated".to_owned(), json!({ "updated_at": rfc3339(asset.created_at) }));
    fields
}

/// Approves or rejects an asset, as a person in the console does. Other changes are those of `explicit`.
pub(crate) async fn update(request: &Request<'_>, identity: Identity) -> Result<Response, Refusal> {
    let status = request.params.require("moderation_status")?;
    if !matches!(status, "approved" | "rejected") {
        return Err(Refusal::bad_request(format!("Invalid value {status} for parameter moderation_status")));
    }
    let not_found = Refusal::not_found(&identity.public_id);
    let (state, decided) = (request.cx.state.clone(), status.to_owned());
    let asset =
        blocking(move || Ok(state.store.relabel(&identity, |labels| labels.moderation = Some(decided))?)).await?;
    let asset = asset.ok_or(not_found)?;
    let moderated = Event::Moderated { status, asset: &asset };
    tell(request.cx, &request.caller.account, request.params.get("notification_url"), &moderated);
    Ok(Json(details(request, &asset)).into_response())
}

/// A page of assets of one resource type, ordered by delivery type and public id.
pub(crate) fn resources(
    request: &Request<'_>,
    resource_type: ResourceType,
    delivery_type: Option<DeliveryType>,
) -> Result<Response, Refusal> {
    let params = &request.params;
    let wanted = params.list("public_ids");
    let prefix = params.get("prefix").unwrap_or_default();
    let assets = of_kind(request, resource_type).into_iter().filter(|asset| {
        let Identity { delivery_type: kind, public_id, .. } = &asset.identity;
        delivery_type.is_none_or(|delivery_type| *kind == delivery_type)
            && public_id.starts_with(prefix)
            && (wanted.is_empty() || wanted.contains(&public_id.as_str()))
    });
    let (page, next) = page(assets.collect(), params)?;
    let resources: Vec<Value> = page.iter().map(|asset| Value::Object(summary(request, asset))).collect();
    let mut reply = json!({ "resources": resources });
    if let (Value::Object(fields), Some(next)) = (&mut reply, next) {
        fields.insert("next_cursor".to_owned(), Value::from(next));
    }
    Ok(Json(reply).into_response())
}

/// The assets of the caller's cloud and that resource type.
fn of_kind(request: &Request<'_>, resource_type: ResourceType) -> Vec<Arc<Asset>> {
    let cloud = request.caller.account.cloud.as_str();
    let start = Identity::new(cloud, resource_type, DeliveryType::Upload, "");
    request.cx.state.store.range(Bound::Included(&start), |asset| {
        asset.identity.cloud == cloud && asset.identity.resource_type == resource_type
    })
}

/// Deletes assets by id or prefix, or all of a type.
pub(crate) async fn delete_resources(
    request: &Request<'_>,
    resource_type: ResourceType,
    delivery_type: DeliveryType,
) -> Result<Response, Refusal> {
    let params = &request.params;
    let mut public_ids: Vec<String> = params.list("public_ids").into_iter().map(str::to_owned).collect();
    let prefix = if params.flag("all")?.unwrap_or(false) { Some("") } else { params.get("prefix") };
    if public_ids.is_empty() && prefix.is_none() {
        return Err(Refusal::missing("public_ids"));
    }
    if let Some(prefix) = prefix {
        let fitting = of_kind(request, resource_type).into_iter().filter(|asset| {
            asset.identity.delivery_type == delivery_type && asset.identity.public_id.starts_with(prefix)
        });
        public_ids.extend(fitting.map(|asset| asset.identity.public_id.clone()));
    }
    let (state, cloud) = (request.cx.state.clone(), request.caller.account.cloud.clone());
    let (removed, deleted, counts) = blocking(move || {
        let (mut all, mut deleted, mut counts) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for public_id in public_ids {
            let removed = state.store.remove(&Identity::new(&cloud, resource_type, delivery_type, &public_id))?;
            counts.insert(public_id.clone(), json!({ "original": u8::from(removed.is_some()), "derived": 0 }));
            deleted.insert(public_id, if removed.is_some() { "deleted" } else { "not_found" });
            all.extend(removed);
        }
        Ok((all, deleted, counts))
    })
    .await?;
    if !removed.is_empty() {
        tell(request.cx, &request.caller.account, params.get("notification_url"), &Event::Deleted(&removed));
    }
    Ok(Json(json!({ "deleted": deleted, "deleted_counts": counts, "partial": false })).into_response())
}
