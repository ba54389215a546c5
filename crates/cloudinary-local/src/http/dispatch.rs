//! Finds the handler of a call and sends its answer.

use std::sync::Arc;

use axum::extract::Request as HttpRequest;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::assets::Identity;
use crate::assets::bulk_labels::Kind;
use crate::assets::{admin_api, bulk_labels, manage, search};
use crate::credentials::{Scope, authenticate};
use crate::delivery;
use crate::http::body::RequestBody;
use crate::http::form::receive;
use crate::http::params::Params;
use crate::http::refusal::{self, Aborted, Refusal};
use crate::http::request::{Request, RequestContext, X_REQUEST_ID, put};
use crate::http::route::{Call, Route};
use crate::state::State;
use crate::upload::handler::upload;
use crate::upload::plan::Target;

/// Answers a request, after reading its body to the end unless a fault closes the connection.
pub(crate) async fn answer(state: Arc<State>, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    let Some(route) = Route::parse(&parts.method, parts.uri.path()) else {
        RequestBody::new(body, state.config.max_request, None).drain().await;
        let message = format!("No such call - {} {}", parts.method, parts.uri.path());
        let mut response = refusal::api_error(StatusCode::NOT_FOUND, &message);
        put(response.headers_mut(), X_REQUEST_ID, &Uuid::new_v4().simple().to_string());
        return response;
    };
    let meter = matches!(route.call, Call::Upload { .. }).then(|| Arc::new(state.counters.meter()));
    let body = RequestBody::new(body, state.config.max_request, meter.clone());
    let cx = Arc::new(RequestContext::new(state, &parts, route.call.action(), meter));
    let result = match cx.before_reading(&body).await {
        Ok(()) => dispatch(&cx, route, &parts, body.clone()).await,
        Err(refusal) => Err(refusal),
    };
    let response = result.into_response();
    if body.is_cut() || response.extensions().get::<Aborted>().is_some() {
        return refusal::aborted();
    }
    body.drain().await;
    let response = cx.finish(response).await.into_response();
    tracing::debug!(
        method = cx.method,
        path = cx.path,
        status = response.status().as_u16(),
        request.id = cx.request_id,
        "answered"
    );
    response
}

async fn dispatch(
    cx: &Arc<RequestContext>,
    route: Route,
    parts: &Parts,
    body: RequestBody,
) -> Result<Response, Refusal> {
    let cloud = route.cloud;
    match route.call {
        Call::Upload { resource_type, delivery_type } => {
            let target = Target { cloud, resource_type, delivery_type };
            Box::pin(upload(cx, target, parts, body)).await
        }
        Call::Deliver(resource_type, delivery_type, rest) => {
            delivery::deliver(cx, &cloud, resource_type, delivery_type, &rest, parts).await
        }
        call => {
            let received = receive(parts, body, cx.state.store.incoming()).await?;
            answer_call(cx, &cloud, call, received.params, parts).await
        }
    }
}

async fn answer_call(
    cx: &RequestContext,
    cloud: &str,
    call: Call,
    params: Params,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let subject = match &call {
        Call::Resource(_, _, public_id) | Call::Update(_, _, public_id) => Some(public_id.clone()),
        Call::Rename(_) => params.get("from_public_id").map(str::to_owned),
        Call::Tags(_) | Call::Context(_) | Call::Metadata(_) => Some(params.list("public_ids").join(",")),
        _ => params.get("public_id").map(str::to_owned),
    };
    cx.checkpoint(subject.as_deref()).await?;
    if call == Call::DeleteByToken {
        return manage::delete_by_token(cx, cloud, &params).await;
    }
    let scope = match call {
        Call::Tags(_) | Call::Context(_) | Call::Metadata(_) => Scope::Labels,
        Call::Ping
        | Call::Usage
        | Call::Resource(..)
        | Call::ResourceByAssetId(_)
        | Call::Resources(..)
        | Call::DeleteResources(..)
        | Call::Update(..)
        | Call::Search => Scope::Admin,
        _ => Scope::Manage,
    };
    let config = &cx.state.config;
    let caller = authenticate(config, cloud, &parts.headers, &params, scope, cx.now())?;
    let request = Request { cx, caller, params };
    match call {
        Call::Destroy(resource_type) => manage::destroy(&request, resource_type).await,
        Call::DestroyByAssetId => manage::destroy_by_asset_id(&request).await,
        Call::Rename(resource_type) => manage::rename(&request, resource_type).await,
        Call::Explicit(resource_type) => manage::explicit(&request, resource_type).await,
        Call::Tags(resource_type) => bulk_labels::change(&request, resource_type, Kind::Tags).await,
        Call::Context(resource_type) => bulk_labels::change(&request, resource_type, Kind::Context).await,
        Call::Metadata(resource_type) => bulk_labels::change(&request, resource_type, Kind::Metadata).await,
        Call::Download(resource_type) => delivery::download(&request, resource_type, parts).await,
        Call::Ping => Ok(admin_api::ping()),
        Call::Usage => Ok(admin_api::usage(&request)),
        Call::Resource(resource_type, delivery_type, public_id) => {
            admin_api::resource(&request, &Identity::new(cloud, resource_type, delivery_type, public_id))
        }
        Call::ResourceByAssetId(asset_id) => admin_api::resource_by_asset_id(&request, &asset_id),
        Call::Resources(resource_type, delivery_type) => admin_api::resources(&request, resource_type, delivery_type),
        Call::DeleteResources(resource_type, delivery_type) => {
            admin_api::delete_resources(&request, resource_type, delivery_type).await
        }
        Call::Update(resource_type, delivery_type, public_id) => {
            admin_api::update(&request, Identity::new(cloud, resource_type, delivery_type, public_id)).await
        }
        Call::Search => search::search(&request),
        Call::DeleteByToken | Call::Upload { .. } | Call::Deliver(..) => Err(Refusal::Abort),
    }
}
