//! The control surface, `/__admin`: faults over HTTP, and a look at what is stored.
//!
//! ```text
//! GET    /__admin/faults        what is installed, and how often each has struck
//! POST   /__admin/faults        install one: a JSON object, see [`Fault`]
//! DELETE /__admin/faults        clear all
//! DELETE /__admin/faults/{id}   clear one
//! GET    /__admin/assets        all assets, each with the uploads that arrived for it
//! GET    /__admin/traffic       all uploads that arrived; ?public_id=... those for one id
//! ```

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};
use url::form_urlencoded;

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

/// A page in a developer's browser can send a simple request anywhere, CORS or not. Browsers say so with `Origin`
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
    let describe = |asset: &crate::assets::Asset| json!({ "asset": asset, "uploads": handle.traffic_of(&asset.identity.public_id) });
    let assets: Vec<Value> = handle.assets().iter().map(|asset| describe(asset)).collect();
    Json(json!({ "assets": assets })).into_response()
}

async fn traffic(State(handle): State<Handle>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let public_id = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "public_id");
    let traffic = public_id.map_or_else(|| handle.traffic(), |(_, public_id)| handle.traffic_of(&public_id));
    Json(traffic).into_response()
}
