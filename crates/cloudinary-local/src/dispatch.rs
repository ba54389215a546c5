//! From a call to the code that answers it.

use std::sync::Arc;

use axum::http::request::Parts;
use axum::response::Response;

use crate::asset::{DeliveryType, Identity};
use crate::credentials::{Caller, Scope, authenticate};
use crate::exchange::Exchange;
use crate::intake::Intake;
use crate::labels::Kind;
use crate::params::Params;
use crate::receive::receive;
use crate::refusal::Refusal;
use crate::route::{Call, Route};
use crate::{admin, delivery, labels, manage, search, upload};

/// A call with its parameters and its caller, read and checked.
pub(crate) struct Request<'a> {
    pub exchange: &'a Exchange,
    pub caller: Caller,
    pub params: Params,
}

impl Request<'_> {
    /// The identity in this cloud that the parameter `name` holds, with the delivery type of `type`.
    pub(crate) fn identity(
        &self,
        resource_type: crate::asset::ResourceType,
        name: &str,
        type_name: &str,
    ) -> Result<Identity, Refusal> {
        let delivery_type = match self.params.get(type_name) {
            None => DeliveryType::Upload,
            Some(text) => DeliveryType::parse(text)
                .ok_or_else(|| Refusal::bad_request(format!("Invalid value {text} for parameter {type_name}")))?,
        };
        let public_id = self.params.require(name)?;
        Ok(Identity::new(self.caller.account.cloud.clone(), resource_type, delivery_type, public_id))
    }
}

/// Answers a call.
pub(crate) async fn dispatch(
    exchange: &Arc<Exchange>,
    route: Route,
    parts: &Parts,
    intake: Intake,
) -> Result<Response, Refusal> {
    let cloud = route.cloud;
    match route.call {
        Call::Upload { resource_type, delivery_type } => {
            let target = upload::Target { cloud, resource_type, delivery_type };
            Box::pin(upload::upload(exchange, target, parts, intake)).await
        }
        Call::Deliver(resource_type, delivery_type, rest) => {
            delivery::deliver(exchange, &cloud, resource_type, delivery_type, &rest, parts).await
        }
        call => {
            let received = receive(parts, intake, exchange.state.store.incoming()).await?;
            answer(exchange, &cloud, call, received.params, parts).await
        }
    }
}

async fn answer(
    exchange: &Exchange,
    cloud: &str,
    call: Call,
    params: Params,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let subject = match &call {
        Call::Resource(_, _, public_id) => Some(public_id.clone()),
        Call::Rename(_) => params.get("from_public_id").map(str::to_owned),
        Call::Tags(_) | Call::Context(_) | Call::Metadata(_) => Some(params.list("public_ids").join(",")),
        _ => params.get("public_id").map(str::to_owned),
    };
    exchange.checkpoint(subject.as_deref()).await?;
    if call == Call::DeleteByToken {
        return manage::delete_by_token(exchange, cloud, &params).await;
    }
    let scope = match call {
        Call::Tags(_) | Call::Context(_) | Call::Metadata(_) => Scope::Labels,
        Call::Ping
        | Call::Usage
        | Call::Resource(..)
        | Call::ResourceByAssetId(_)
        | Call::Resources(..)
        | Call::DeleteResources(..)
        | Call::Search => Scope::Admin,
        _ => Scope::Manage,
    };
    let config = &exchange.state.config;
    let caller = authenticate(config, cloud, &parts.headers, &params, scope, exchange.now())?;
    let request = Request { exchange, caller, params };
    match call {
        Call::Destroy(resource_type) => manage::destroy(&request, resource_type).await,
        Call::DestroyByAssetId => manage::destroy_by_asset_id(&request).await,
        Call::Rename(resource_type) => manage::rename(&request, resource_type).await,
        Call::Explicit(resource_type) => manage::explicit(&request, resource_type).await,
        Call::Tags(resource_type) => labels::change(&request, resource_type, Kind::Tags).await,
        Call::Context(resource_type) => labels::change(&request, resource_type, Kind::Context).await,
        Call::Metadata(resource_type) => labels::change(&request, resource_type, Kind::Metadata).await,
        Call::Download(resource_type) => delivery::download(&request, resource_type, parts).await,
        Call::Ping => Ok(admin::ping()),
        Call::Usage => Ok(admin::usage(&request)),
        Call::Resource(resource_type, delivery_type, public_id) => {
            admin::resource(&request, &Identity::new(cloud, resource_type, delivery_type, public_id))
        }
        Call::ResourceByAssetId(asset_id) => admin::resource_by_asset_id(&request, &asset_id),
        Call::Resources(resource_type, delivery_type) => admin::resources(&request, resource_type, delivery_type),
        Call::DeleteResources(resource_type, delivery_type) => {
            admin::delete_resources(&request, resource_type, delivery_type).await
        }
        Call::Search => search::search(&request),
        Call::DeleteByToken | Call::Upload { .. } | Call::Deliver(..) => Err(Refusal::Abort),
    }
}
