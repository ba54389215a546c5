//! The control surface, `/__admin`: faults, assets and traffic over HTTP.
//!
//! ```text
//! GET    /__admin/faults        the installed faults, and how often each has struck
//! POST   /__admin/faults        installs a fault: a JSON object, see [`Fault`]
//! DELETE /__admin/faults        clears all
//! DELETE /__admin/faults/{id}   clears one
//! GET    /__admin/assets        all assets, each with its upload traffic
//! GET    /__admin/traffic       the upload traffic; with ?public_id=... that of one id
//! GET    /__admin/notifications who is told of everything, and how many notifications arrived
//! PUT    /__admin/notifications tells others instead: {"urls": ["http://..."]}
//! ```
//!
//! It is for programs on this machine, and for no page in a browser on it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

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
        .route("/notifications", get(notifications).put(notify))
        .with_state(handle)
        .layer(from_fn(refuse_web_pages))
}

/// A page in a developer's browser can send simple requests anywhere, CORS or not. A browser then sends `Origin`
/// (<https://fetch.spec.whatwg.org/#origin-header>) or tells in `Sec-Fetch-Site` that a page asks; curl and test programs send
/// neither. A page whose own name was made to lead to this machine asks its own site, as far as the browser knows, and sends no
/// `Origin` with a `GET`; but it cannot help naming itself in `Host`.
async fn refuse_web_pages(request: Request, next: Next) -> Response {
    let headers = request.headers();
    // `none`: a person typed the address.
    let is_of_a_page =
        headers.contains_key(header::ORIGIN) || headers.get("sec-fetch-site").is_some_and(|site| site != "none");
    if is_of_a_page {
        return api_error(StatusCode::FORBIDDEN, "The control surface is not for web pages");
    }
    if !names_this_machine(headers) {
        let message = "The control surface answers to localhost and 127.0.0.1 only";
        return api_error(StatusCode::FORBIDDEN, message);
    }
    next.run(request).await
}

/// Whether the request was sent to a name that leads to this machine wherever it is looked up.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let host = host.to_str().unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost") || name == "[::1]" || name.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback())
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

async fn notifications(State(handle): State<Handle>) -> Response {
    let urls: Vec<String> = handle.notified().into_iter().map(String::from).collect();
    Json(json!({ "urls": urls, "count": handle.notifications() })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Notify {
    urls: Vec<String>,
}

async fn notify(State(handle): State<Handle>, body: Bytes) -> Response {
    let Notify { urls } = match serde_json::from_slice(&body) {
        Ok(notify) => notify,
        Err(error) => return api_error(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let parse = |url: &String| Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    match urls.iter().map(parse).collect() {
        Some(urls) => {
            handle.notify(urls);
            StatusCode::NO_CONTENT.into_response()
        }
        None => api_error(StatusCode::BAD_REQUEST, "urls: expected http and https addresses"),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn is_ours(hosts: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_static(host));
        }
        names_this_machine(&headers)
    }

    #[test]
    fn only_names_that_always_lead_to_this_machine_are_its_own() {
        for host in ["localhost", "LocalHost:8787", "127.0.0.1", "127.8.7.6:8787", "[::1]", "[::1]:8787"] {
            assert!(is_ours(&[host]), "{host}");
        }
        for host in [
            "rebind.evil.example",
            "rebind.evil.example:8787",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8787",
            "127.0.0.1@evil.example",
            "192.168.0.7:8787",
            "0.0.0.0:8787",
            "media:8787",
            ":8787",
            "",
        ] {
            assert!(!is_ours(&[host]), "{host}");
        }
        assert!(!is_ours(&[]) && !is_ours(&["localhost", "rebind.evil.example"]));
    }
}
