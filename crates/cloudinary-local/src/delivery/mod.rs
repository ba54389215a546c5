//! Delivers assets, as they are or transformed.

mod file_response;
mod path;
mod transform;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};

use crate::assets::file_type::content_type;
use crate::assets::public_id::split_extension;
use crate::assets::{Asset, DeliveryType, Identity, ResourceType};
use crate::delivery::path::DeliveryPath;
use crate::delivery::transform::{Recipe, render};
use crate::http::refusal::{Refusal, X_CLD_ERROR};
use crate::http::request::Request;
use crate::http::request::RequestContext;

/// How often an asset is looked up that is replaced before its file is opened.
const TRIES: usize = 3;

/// Answers a delivery URL. Errors have no body; `X-Cld-Error` has the text.
pub(crate) async fn deliver(
    cx: &RequestContext,
    cloud: &str,
    resource_type: ResourceType,
    delivery_type: DeliveryType,
    rest: &str,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let path = DeliveryPath::parse(rest);
    cx.checkpoint(Some(&path.id)).await?;
    match find_and_serve(cx, cloud, resource_type, delivery_type, &path, parts).await {
        Err(Refusal::Api(status, message)) => {
            let line: String = message.chars().filter(|c| !c.is_control()).collect();
            let mut response = status.into_response();
            if let Ok(value) = HeaderValue::from_bytes(line.as_bytes()) {
                response.headers_mut().insert(X_CLD_ERROR, value);
            }
            Ok(response)
        }
        other => other,
    }
}

async fn find_and_serve(
    cx: &RequestContext,
    cloud: &str,
    resource_type: ResourceType,
    delivery_type: DeliveryType,
    path: &DeliveryPath<'_>,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let state = &cx.state;
    let not_found = || Refusal::not_found(&path.id);
    let account = state.config.account(cloud).ok_or_else(not_found)?;
    let must_be_signed = match delivery_type {
        DeliveryType::Upload => false,
        DeliveryType::Private => path.steps.is_empty(),
        DeliveryType::Authenticated => true,
    };
    if (must_be_signed || path.signature.is_some()) && !is_signed(path, parts, account.secret()) {
        return Err(Refusal::unauthorized("Invalid Signature in the URL"));
    }
    for _ in 0..TRIES {
        let (asset, extension) = find(cx, cloud, resource_type, delivery_type, &path.id).ok_or_else(not_found)?;
        let recipe = Recipe::parse(&path.steps, extension.as_deref(), &asset, accepts_webp(&parts.headers))?;
        if let Some(response) = serve(cx, &asset, &recipe, parts).await? {
            return Ok(response);
        }
    }
    Err(not_found())
}

/// SDKs sign the percent-encoded path, people the decoded one. Both are accepted.
fn is_signed(path: &DeliveryPath<'_>, parts: &Parts, secret: &str) -> bool {
    let written = parts.uri.path().splitn(5, '/').nth(4).unwrap_or_default();
    path.is_signed_with(secret) || DeliveryPath::parse(written).is_signed_with(secret)
}

/// The asset, and the extension of the URL if it is not part of the id.
fn find(
    cx: &RequestContext,
    cloud: &str,
    resource_type: ResourceType,
    delivery_type: DeliveryType,
    id: &str,
) -> Option<(Arc<Asset>, Option<String>)> {
    let get = |id: &str| cx.state.store.get(&Identity::new(cloud, resource_type, delivery_type, id));
    if resource_type != ResourceType::Raw
        && let (stem, Some(extension)) = split_extension(id)
        && let Some(asset) = get(stem)
    {
        return Some((asset, Some(extension.to_ascii_lowercase())));
    }
    get(id).map(|asset| (asset, None))
}

fn accepts_webp(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|value| value.to_str().is_ok_and(|text| text.contains("image/webp")))
}

/// A signed download, `/<resource type>/download`. It needs no delivery signature.
pub(crate) async fn download(
    request: &Request<'_>,
    resource_type: ResourceType,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let identity = request.identity(resource_type, "public_id", "type")?;
    for _ in 0..TRIES {
        let asset = request.cx.state.store.get(&identity);
        let asset = asset.ok_or_else(|| Refusal::not_found(&identity.public_id))?;
        let mut recipe = Recipe::parse(&[], request.params.get("format"), &asset, false)?;
        if request.params.flag("attachment")?.unwrap_or(false) {
            recipe.attachment = Some(None);
        }
        if let Some(response) = serve(request.cx, &asset, &recipe, parts).await? {
            return Ok(response);
        }
    }
    Err(Refusal::not_found(&identity.public_id))
}

/// `None` if the bytes are gone because the asset was replaced or removed.
async fn serve(
    cx: &RequestContext,
    asset: &Arc<Asset>,
    recipe: &Recipe,
    parts: &Parts,
) -> Result<Option<Response>, Refusal> {
    let (file, etag, format): (PathBuf, String, &str) = if recipe.keeps_bytes() {
        let extension = asset.identity.public_id.rsplit_once('.').map_or("", |(_, extension)| extension);
        (cx.state.store.blob_path(asset), asset.md5.clone(), asset.format.as_deref().unwrap_or(extension))
    } else {
        let Some((file, etag)) = render(&cx.state, asset, recipe).await? else { return Ok(None) };
        (file, etag, recipe.format_name())
    };
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(asset.version);
    let Some(mut response) = file_response::respond(&file, &etag, modified, parts).await? else { return Ok(None) };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(format)));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static(match asset.identity.delivery_type {
            DeliveryType::Upload => "public, max-age=2592000",
            DeliveryType::Private | DeliveryType::Authenticated => "private, max-age=2592000",
        }),
    );
    if format == "svg" {
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox"),
        );
    }
    if recipe.depends_on_accept {
        headers.insert(VARY, HeaderValue::from_static("accept"));
    }
    if let Some(name) = &recipe.attachment {
        let name = name.as_deref().or(asset.original_filename.as_deref()).unwrap_or("download");
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || "._- ".contains(c) { c } else { '_' }).collect();
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{format}\"")) {
            headers.insert(CONTENT_DISPOSITION, value);
        }
    }
    Ok(Some(response))
}
