//! Storing a file: the parameters of an upload, the checks, the reply.

use std::sync::Arc;

use axum::Json;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use cloudinary::signature;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::asset::{Asset, DeliveryType, Identity, Labels, ResourceType};
use crate::chunks;
use crate::credentials::{Caller, Scope, authenticate};
use crate::exchange::Exchange;
use crate::held::Held;
use crate::intake::Intake;
use crate::media::{self, Media};
use crate::params::Params;
use crate::public_id;
use crate::receive::receive;
use crate::refusal::Refusal;
use crate::server::State;
use crate::source;
use crate::store::{NewAsset, Put};

/// Where the path says an upload should go; no resource type means `auto`.
#[derive(Debug)]
pub(crate) struct Target {
    pub cloud: String,
    pub resource_type: Option<ResourceType>,
    pub delivery_type: Option<DeliveryType>,
}

/// Everything about an upload but its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub caller: Caller,
    /// `None` means to tell it from the content.
    pub resource_type: Option<ResourceType>,
    pub delivery_type: DeliveryType,
    /// The id that the client chose, folder included, or that was fixed by an earlier chunk.
    pub public_id: Option<String>,
    folder: Option<String>,
    filename: Option<String>,
    use_filename: bool,
    unique_filename: bool,
    keep_filename: bool,
    overwrite: bool,
    allowed_formats: Vec<String>,
    labels: Labels,
    delete_token: bool,
    eager: Vec<String>,
}

/// Answers an upload, of a whole file or of a chunk.
pub(crate) async fn upload(
    exchange: &Arc<Exchange>,
    target: Target,
    parts: &Parts,
    intake: Intake,
) -> Result<Response, Refusal> {
    let state = &exchange.state;
    let received = receive(parts, intake, state.store.incoming()).await?;
    let params = received.params;
    let chosen = chosen_id(&params);
    if let Some(chosen) = &chosen {
        exchange.is_about(chosen);
    }
    exchange.checkpoint(chosen.as_deref()).await?;
    let caller = authenticate(&state.config, &target.cloud, &parts.headers, &params, Scope::Upload, exchange.now())?;
    let file = received.file.ok_or_else(|| Refusal::missing("file"))?;
    let mut plan = Plan::new(caller, &target, &params)?;
    let (held, filename) = source::resolve(state, file).await?;
    plan.filename = params.get("filename_override").map(str::to_owned).or(filename);
    if let Some(range) = chunks::header(&parts.headers)? {
        return chunks::take(exchange, plan, held, range, &parts.headers).await;
    }
    if params.flag("async")?.unwrap_or(false) {
        return Ok(store_later(exchange.clone(), plan, held));
    }
    Ok(Json(store(exchange, plan, held).await?).into_response())
}

impl Plan {
    fn new(caller: Caller, target: &Target, params: &Params) -> Result<Self, Refusal> {
        let invalid =
            |name: &str, text: &str| Refusal::bad_request(format!("Invalid value {text} for parameter {name}"));
        let resource_type = match params.get("resource_type") {
            None => target.resource_type,
            Some("auto") => None,
            Some(text) => Some(ResourceType::parse(text).ok_or_else(|| invalid("resource_type", text))?),
        };
        let delivery_type = match (target.delivery_type, params.get("type")) {
            (Some(delivery_type), _) => delivery_type,
            (None, None) => DeliveryType::Upload,
            (None, Some(text)) => DeliveryType::parse(text).ok_or_else(|| invalid("type", text))?,
        };
        let public_id = chosen_id(params);
        if let Some(public_id) = &public_id
            && let Some(problem) = public_id::problem(public_id)
        {
            return Err(Refusal::bad_request(format!("public_id ({public_id}) is invalid: {problem}")));
        }
        let folder = folder(params);
        let overwrite = !caller.unsigned && params.flag("overwrite")?.unwrap_or(true);
        Ok(Self {
            resource_type,
            delivery_type,
            public_id,
            filename: None,
            use_filename: params.flag("use_filename")?.unwrap_or(false),
            unique_filename: params.flag("unique_filename")?.unwrap_or(true),
            keep_filename: !params.flag("discard_original_filename")?.unwrap_or(false),
            overwrite,
            allowed_formats: params.tags("allowed_formats").unwrap_or_default(),
            labels: labels(params, folder.as_deref()),
            delete_token: params.flag("return_delete_token")?.unwrap_or(false),
            eager: params.get("eager").map(|text| text.split('|').map(str::to_owned).collect()).unwrap_or_default(),
            folder,
            caller,
        })
    }

    /// The id that the asset gets if the client chose none.
    pub(crate) fn id_for(&self, resource_type: ResourceType) -> Result<String, Refusal> {
        if let Some(public_id) = &self.public_id {
            return Ok(public_id.clone());
        }
        let filename = self.filename.as_deref().unwrap_or_default();
        let id = if self.use_filename {
            public_id::from_filename(filename, resource_type, self.unique_filename)
        } else {
            match public_id::split_extension(public_id::base_name(filename)).1 {
                Some(extension) if resource_type == ResourceType::Raw => format!("{}.{extension}", public_id::random()),
                _ => public_id::random(),
            }
        };
        let id = prefixed(self.folder.as_deref(), &id);
        match public_id::problem(&id) {
            Some(problem) => Err(Refusal::bad_request(format!("public_id ({id}) is invalid: {problem}"))),
            None => Ok(id),
        }
    }

    /// What it will be stored as, or why not.
    fn check(&self, state: &State, media: Media, bytes: u64) -> Result<Media, Refusal> {
        let wanted = self.resource_type.unwrap_or(media.resource_type);
        let maximum = match wanted {
            ResourceType::Image => state.config.max_image,
            ResourceType::Video => state.config.max_video,
            ResourceType::Raw => state.config.max_raw,
        };
        if bytes > maximum {
            return Err(Refusal::bad_request(format!("File size too large. Got {bytes}. Maximum is {maximum}.")));
        }
        let media = match wanted {
            ResourceType::Raw => Media { resource_type: ResourceType::Raw, format: None, width: None, height: None },
            ResourceType::Image if media.resource_type != wanted => {
                return Err(Refusal::bad_request("Invalid image file"));
            }
            ResourceType::Video if media.resource_type != wanted => {
                return Err(Refusal::bad_request("Unsupported video format or file"));
            }
            _ => media,
        };
        if let Some(format) = media.format
            && !self.allowed_formats.is_empty()
            && !self.allowed_formats.iter().any(|allowed| allowed.eq_ignore_ascii_case(format))
        {
            let kind = if wanted == ResourceType::Image { "Image" } else { "Video" };
            return Err(Refusal::bad_request(format!("{kind} format {format} not allowed")));
        }
        Ok(media)
    }

    fn original_filename(&self) -> Option<String> {
        let filename = self.filename.as_deref().filter(|_| self.keep_filename)?;
        let (stem, _) = public_id::split_extension(public_id::base_name(filename));
        Some(stem.to_owned()).filter(|stem| !stem.is_empty())
    }

    fn put(&self, state: &State, held: Held, now: i64) -> Result<Put, Refusal> {
        let media = media::inspect(&held)?;
        let media = self.check(state, media, held.len)?;
        let public_id = self.id_for(media.resource_type)?;
        let mut labels = self.labels.clone();
        if labels.display_name.is_empty() {
            labels.display_name = public_id.rsplit('/').next().unwrap_or_default().to_owned();
        }
        let identity = Identity::new(&self.caller.account.cloud, media.resource_type, self.delivery_type, public_id);
        let new = NewAsset { identity, media, original_filename: self.original_filename(), labels, now };
        Ok(state.store.put(new, held, self.overwrite)?)
    }
}

/// The id that a request chose, with its folder.
fn chosen_id(params: &Params) -> Option<String> {
    params.get("public_id").map(|id| prefixed(folder(params).as_deref(), id))
}

fn folder(params: &Params) -> Option<String> {
    let folder = params.get("folder").or_else(|| params.get("public_id_prefix"))?;
    Some(folder.trim_matches('/').to_owned()).filter(|folder| !folder.is_empty())
}

fn prefixed(folder: Option<&str>, id: &str) -> String {
    folder.map_or_else(|| id.to_owned(), |folder| format!("{folder}/{id}"))
}

fn labels(params: &Params, folder: Option<&str>) -> Labels {
    Labels {
        tags: params.tags("tags").unwrap_or_default(),
        context: params.key_values("context").unwrap_or_default(),
        metadata: params.key_values("metadata").unwrap_or_default(),
        asset_folder: params.get("asset_folder").or(folder).unwrap_or_default().to_owned(),
        display_name: params.get("display_name").unwrap_or_default().to_owned(),
    }
}

/// Stores the bytes and describes what came of it.
pub(crate) async fn store(exchange: &Exchange, plan: Plan, held: Held) -> Result<Map<String, Value>, Refusal> {
    let (state, now) = (exchange.state.clone(), exchange.now().unix_timestamp());
    let (plan, put) = blocking(move || {
        let put = plan.put(&state, held, now)?;
        Ok((plan, put))
    })
    .await?;
    let (asset, outcome) = match put {
        Put::Stored(asset) => (asset, None),
        Put::Overwritten(asset) => (asset, Some("overwritten")),
        Put::Existing(asset) => (asset, Some("existing")),
    };
    exchange.is_about(&asset.identity.public_id);
    let mut reply = reply(exchange, &asset, &plan.caller);
    if let Some(outcome) = outcome {
        reply.insert(outcome.to_owned(), Value::Bool(true));
    }
    if plan.delete_token {
        reply.insert("delete_token".to_owned(), Value::from(exchange.state.delete_tokens.issue(&asset.identity)));
    }
    if let Some(folder) = plan.folder {
        reply.insert("folder".to_owned(), Value::from(folder));
    }
    if !plan.eager.is_empty() {
        let derived = plan.eager.iter().map(|text| eager(exchange, &asset, text)).collect();
        reply.insert("eager".to_owned(), Value::Array(derived));
    }
    Ok(reply)
}

/// The reply that uploads, renames and `explicit` share: the asset with its signature.
pub(crate) fn reply(exchange: &Exchange, asset: &Asset, caller: &Caller) -> Map<String, Value> {
    let mut reply = asset.describe(&exchange.state.public_url);
    let distortions = exchange.distortions();
    let public_id = &asset.identity.public_id;
    let version = if distortions.wrong_signature { asset.version + 1 } else { asset.version };
    let signature = signature::response_signature(public_id, version, caller.account.secret(), caller.algorithm);
    if distortions.wrong_etag {
        reply.insert("etag".to_owned(), Value::from("0".repeat(32)));
    }
    if !caller.unsigned {
        reply.insert("signature".to_owned(), Value::from(signature));
        reply.insert("api_key".to_owned(), Value::from(caller.account.key.as_str()));
    }
    reply
}

/// A derived version, which is made when it is first asked for.
fn eager(exchange: &Exchange, asset: &Asset, text: &str) -> Value {
    let (steps, format) = match text.rsplit_once('/') {
        Some((steps, format)) if !format.contains('_') => (steps, Some(format)),
        _ => (text, None),
    };
    let sort = |step: &str| {
        let mut parts: Vec<&str> = step.split(',').collect();
        parts.sort_unstable();
        parts.join(",")
    };
    let steps: Vec<String> = steps.split('/').map(sort).collect();
    let Identity { cloud, resource_type, delivery_type, public_id } = &asset.identity;
    let transformation = steps.join("/");
    let extension = format.or(asset.format.as_deref()).map(|format| format!(".{format}")).unwrap_or_default();
    let base = &exchange.state.public_url;
    let url = format!(
        "{base}/{cloud}/{resource_type}/{delivery_type}/{transformation}/v{}/{public_id}{extension}",
        asset.version
    );
    json!({ "transformation": transformation, "format": format.or(asset.format.as_deref()), "url": url, "secure_url": url })
}

/// Answers early and stores afterwards; a failure is only logged, as there is nobody left to tell.
fn store_later(exchange: Arc<Exchange>, plan: Plan, held: Held) -> Response {
    let pending = json!({
        "status": "pending",
        "resource_type": plan.resource_type.map_or("auto", ResourceType::as_str),
        "type": plan.delivery_type,
        "public_id": plan.public_id,
        "batch_id": Uuid::new_v4().simple().to_string(),
    });
    tokio::spawn(async move {
        if let Err(refusal) = store(&exchange, plan, held).await {
            tracing::warn!(?refusal, "an asynchronous upload failed");
        }
    });
    Json(pending).into_response()
}

/// Runs what blocks on a thread for it. It is finished even if the request goes away.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::Io(std::io::Error::other(error)))?
}
