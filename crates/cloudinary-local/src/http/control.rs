//! The control surface, `/__admin`: faults, assets and traffic over HTTP.
//!
//! ```text
//! GET    /__admin/faults        the installed faults, and how often each has struck
//! POST   /__admin/faults        installs a fault: a JSON object, see [`Fault`]
//! DELETE /__admin/faults        clears all
//! DELETE /__admin/faults/{id}   clears one
//! GET    /__admin/assets        all assets, each with its upload traffic
//! GET    /__admin/traffic       the upload traffic; with ?public_id=... that of one id
//! ```

use std::sync::Arc;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::assets::Asset;
use crate::faults::Fault;
use crate::handle::Handle;
use crate::http::refusal::api_error;

/// The routes, below `/__admin`.
pub(crate) fn routes(handle: Handle) -> Router {
    Router::new()
        .route("/faults", get(list).post(install).delete(clear))
        .route("/faults/{id}", delete(clear_one))
        .route("/assets", get(assets))
        .route("/traffic", get(traffic))
        .with_state(handle)
        .layer(from_fn(refuse_web_pages))
}

/// A page in a developer's browser can send simple requests anywhere, CORS or not. A browser then sends `Origin`
/// (<https://fetch.spec.whatwg.org/#origin-header>); curl and test programs do not.
async fn refuse_web_pages(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::ORIGIN) {
        return api_error(StatusCode::FORBIDDEN, "The control surface is not for web pages");
    }
    next.run(request).await
}

async fn list(State(handle): State<Handle>) -> Response {
    Json(json!({ "faults": handle.faults() })).into_response()
}

async fn install(State(handle): State<Handle>, body: Bytes) -> Response {
    match serde_json::from_slice::<Fault>(&body) {
        Ok(fault) => (StatusCode::CREATED, Json(json!({ "id": handle.install_fault(fault) }))).into_response(),
        Err(error) => api_error(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn clear(State(handle): State<Handle>) -> Response {
    handle.clear_faults();
    StatusCode::NO_CONTENT.into_response()
}

async fn clear_one(State(handle): State<Handle>, Path(id): Path<u64>) -> Response {
    match handle.clear_fault(id) {
        true => StatusCode::NO_CONTENT.into_response(),
        false => api_error(StatusCode::NOT_FOUND, &format!("No fault has the id {id}")),
    }
}

async fn assets(State(handle): State<Handle>) -> Response {
    let describe = |asset: &Arc<Asset>| {
        let uploads = handle.traffic_of(&asset.identity.public_id);
        json!({ "asset": asset.as_ref(), "uploads": uploads })
    };
    let assets: Vec<Value> = handle.assets().iter().map(describe).collect();
    Json(json!({ "assets": assets })).into_response()
}

async fn traffic(State(handle): State<Handle>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let public_id = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "public_id");
    let traffic = public_id.map_or_else(|| handle.traffic(), |(_, public_id)| handle.traffic_of(&public_id));
    Json(traffic).into_response()
}
