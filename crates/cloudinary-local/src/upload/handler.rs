use std::sync::Arc;

use axum::Json;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use uuid::Uuid;

use crate::assets::ResourceType;
use crate::assets::staged_file::StagedFile;
use crate::credentials::{Scope, authenticate};
use crate::http::blocking::blocking;
use crate::http::body::RequestBody;
use crate::http::form::receive;
use crate::http::refusal::Refusal;
use crate::http::request::RequestContext;
use crate::upload::plan::{Plan, Target, chosen_id};
use crate::upload::storing::store;
use crate::upload::{chunks, content_range, file_source};

/// Answers an upload, of a whole file or of a chunk.
pub(crate) async fn upload(
    cx: &Arc<RequestContext>,
    target: Target,
    parts: &Parts,
    body: RequestBody,
) -> Result<Response, Refusal> {
    let state = &cx.state;
    let received = receive(parts, body, state.store.incoming()).await?;
    let params = received.params;
    let chosen = chosen_id(&params);
    if let Some(chosen) = &chosen {
        cx.is_about(chosen);
    }
    cx.checkpoint(chosen.as_deref()).await?;
    let caller = authenticate(&state.config, &target.cloud, &parts.headers, &params, Scope::Upload, cx.now())?;
    let file = received.file.ok_or_else(|| Refusal::missing("file"))?;
    let mut plan = Plan::new(caller, &target, &params)?;
    let (mut staged, filename) = file_source::resolve(state, file).await?;
    if cx.distortions().wrong_bytes {
        let folder = state.store.incoming().to_owned();
        staged = blocking(move || Ok(staged.spoiled(&folder)?)).await?;
    }
    plan.filename = params.get("filename_override").map(str::to_owned).or(filename);
    if let Some(range) = content_range::of(&parts.headers)? {
        return chunks::take(cx, plan, staged, range, &parts.headers).await;
    }
    if params.flag("async")?.unwrap_or(false) {
        return Ok(store_later(cx.clone(), plan, staged));
    }
    Ok(Json(store(cx, plan, staged).await?).into_response())
}

/// Answers first and stores afterwards. A failure is only logged, because the client has its answer.
fn store_later(cx: Arc<RequestContext>, plan: Plan, staged: StagedFile) -> Response {
    let pending = json!({
        "status": "pending",
        "resource_type": plan.resource_type.map_or("auto", ResourceType::as_str),
        "type": plan.delivery_type,
        "public_id": plan.public_id,
        "batch_id": Uuid::new_v4().simple().to_string(),
    });
    tokio::spawn(async move {
        if let Err(refusal) = store(&cx, plan, staged).await {
            tracing::warn!(?refusal, "an asynchronous upload failed");
        }
    });
    Json(pending).into_response()
}
