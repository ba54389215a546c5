//! Calls that change a stored asset: destroy, rename, explicit.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::assets::public_id;
use crate::assets::reply::signed;
use crate::assets::store::RenameError;
use crate::assets::{DeliveryType, Identity, ResourceType};
use crate::http::blocking::blocking;
use crate::http::params::Params;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::http::request::RequestContext;
use crate::notifications::{Event, tell};

/// Removes an asset. A second call answers `not found` with status 200.
pub(crate) async fn destroy(request: &Request<'_>, resource_type: ResourceType) -> Result<Response, Refusal> {
    remove(request.cx, request.identity(resource_type, "public_id", "type")?, request.params.get("notification_url"))
        .await
}

pub(crate) async fn destroy_by_asset_id(request: &Request<'_>) -> Result<Response, Refusal> {
    let asset_id = request.params.require("asset_id")?;
    match request.cx.state.store.get_by_asset_id(&request.caller.account.cloud, asset_id) {
        Some(asset) => remove(request.cx, asset.identity.clone(), request.params.get("notification_url")).await,
        None => Ok(result(false)),
    }
}

pub(crate) async fn delete_by_token(cx: &RequestContext, cloud: &str, params: &Params) -> Result<Response, Refusal> {
    let identity = cx.state.delete_tokens.redeem(params.require("token")?);
    match identity.filter(|identity| identity.cloud == cloud) {
        Some(identity) => remove(cx, identity, None).await,
        None => Err(Refusal::bad_request("Invalid token")),
    }
}

async fn remove(cx: &RequestContext, identity: Identity, notify: Option<&str>) -> Result<Response, Refusal> {
    let state = cx.state.clone();
    let removed = blocking(move || Ok(state.store.remove(&identity)?)).await?;
    if let Some(asset) = &removed
        && let Some(account) = cx.state.config.account(&asset.identity.cloud)
    {
        tell(cx, account, notify, &Event::Deleted(std::slice::from_ref(asset)));
    }
    Ok(result(removed.is_some()))
}

fn result(removed: bool) -> Response {
    Json(json!({ "result": if removed { "ok" } else { "not found" } })).into_response()
}

/// Changes an asset's public id and delivery type. A second call finds nothing.
///
/// Cloudinary does not document its answer when the new id is taken. The tests of its SDKs expect an error; ours is
/// 400, which all SDKs pass on with the text.
pub(crate) async fn rename(request: &Request<'_>, resource_type: ResourceType) -> Result<Response, Refusal> {
    let from = request.identity(resource_type, "from_public_id", "type")?;
    let mut to = request.identity(resource_type, "to_public_id", "to_type")?;
    if request.params.get("to_type").is_none() {
        to.delivery_type = from.delivery_type;
    }
    if let Some(problem) = public_id::problem(&to.public_id) {
        return Err(Refusal::bad_request(format!("to_public_id ({}) is invalid: {problem}", to.public_id)));
    }
    let overwrite = request.params.flag("overwrite")?.unwrap_or(false);
    let (state, former) = (request.cx.state.clone(), from.public_id.clone());
    let asset = blocking(move || {
        state.store.rename(&from, &to, overwrite).map_err(|error| match error {
            RenameError::NotFound => Refusal::not_found(&from.public_id),
            RenameError::Taken => Refusal::bad_request(format!("to_public_id({}) already exists", to.public_id)),
            RenameError::Io(error) => Refusal::Io(error),
        })
    })
    .await?;
    let renamed = Event::Renamed { from: &former, asset: &asset };
    tell(request.cx, &request.caller.account, request.params.get("notification_url"), &renamed);
    Ok(Json(signed(request.cx, &asset, &request.caller)).into_response())
}

/// Changes an asset without a new upload. Tags, context and metadata that are given replace the old ones.
pub(crate) async fn explicit(request: &Request<'_>, resource_type: ResourceType) -> Result<Response, Refusal> {
    let params = &request.params;
    let delivery_type = params.require("type")?;
    DeliveryType::parse(delivery_type)
        .ok_or_else(|| Refusal::bad_request(format!("Invalid value {delivery_type} for parameter type")))?;
    let identity = request.identity(resource_type, "public_id", "type")?;
    let not_found = Refusal::not_found(&identity.public_id);
    let (tags, context, metadata) = (params.tags("tags"), params.key_values("context"), params.key_values("metadata"));
    let (folder, name) = (params.get("asset_folder").map(str::to_owned), params.get("display_name").map(str::to_owned));
    let state = request.cx.state.clone();
    let asset = blocking(move || {
        let relabelled = state.store.relabel(&identity, |labels| {
            labels.tags = tags.unwrap_or_else(|| std::mem::take(&mut labels.tags));
            labels.context = context.unwrap_or_else(|| std::mem::take(&mut labels.context));
            labels.metadata = metadata.unwrap_or_else(|| std::mem::take(&mut labels.metadata));
            labels.asset_folder = folder.unwrap_or_else(|| std::mem::take(&mut labels.asset_folder));
            labels.display_name = name.unwrap_or_else(|| std::mem::take(&mut labels.display_name));
        });
        Ok(relabelled?)
    })
    .await?;
    let asset = asset.ok_or(not_found)?;
    Ok(Json(signed(request.cx, &asset, &request.caller)).into_response())
}
