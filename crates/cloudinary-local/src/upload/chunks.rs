//! A chunk of an upload. The last one stores the asset.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::assets::ResourceType;
use crate::assets::staged_file::StagedFile;
use crate::http::refusal::Refusal;
use crate::http::request::RequestContext;
use crate::upload::content_range::ContentRange;
use crate::upload::partials::{Partial, assemble, finish, first_gap, keep};
use crate::upload::plan::Plan;
use crate::upload::storing::store;

const UPLOAD_ID: &str = "x-unique-upload-id";

/// Answers a chunk.
pub(crate) async fn take(
    cx: &RequestContext,
    mut plan: Plan,
    staged: StagedFile,
    range: ContentRange,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let upload_id = headers.get(UPLOAD_ID).and_then(|value| value.to_str().ok());
    let upload_id = upload_id.ok_or_else(|| Refusal::missing("X-Unique-Upload-Id"))?;
    let (state, now) = (&cx.state, cx.now().unix_timestamp());
    if staged.len != range.len {
        let message = format!("Content-Range announces {} bytes, the file has {}", range.len, staged.len);
        return Err(Refusal::bad_request(message));
    }
    if !range.is_last() && range.len < state.config.min_chunk {
        return Err(Refusal::bad_request("All parts except EOF-chunk must be larger than 5mb"));
    }
    state.partials.expire(now.saturating_sub_unsigned(state.config.partial_ttl.as_secs()));

    let kind = plan.resource_type.map_or("auto", ResourceType::as_str);
    let key = format!("{}/{kind}/{upload_id}", plan.caller.account.cloud);
    let partial = state.partials.open(&key, || {
        // Byte 0 comes first. A later chunk of an unknown or expired upload belongs to nothing.
        if range.first > 0 {
            return Err(Refusal::bad_request("Parts are missing: nothing has arrived at byte 0"));
        }
        let public_id = plan.id_for(plan.resource_type.unwrap_or(ResourceType::Video))?;
        let pieces = BTreeMap::new();
        Ok(Partial { key: key.clone(), public_id, total: None, pieces, finished: None, touched: now })
    })?;
    let mut partial = partial.lock().await;
    cx.is_about(&partial.public_id);
    if let (Some(known), Some(total)) = (partial.total, range.total)
        && known != total
    {
        return Err(Refusal::bad_request(format!(
            "Content-Range announces {total} bytes in total, before it was {known}"
        )));
    }
    if let (Some(reply), true) = (&partial.finished, range.is_last()) {
        return Ok(Json(reply.clone()).into_response());
    }
    partial.touched = now;
    partial.total = partial.total.or(range.total);
    keep(state.partials.folder(&key), &mut partial, staged, range).await?;

    if !range.is_last() || cx.distortions().never_done {
        let received: u64 = partial.pieces.values().sum();
        let mut reply = json!({ "done": false, "bytes": received, "kind": "upload", "public_id": partial.public_id });
        if let (Value::Object(fields), Some(resource_type)) = (&mut reply, plan.resource_type) {
            fields.insert("resource_type".to_owned(), json!(resource_type));
        }
        return Ok(Json(reply).into_response());
    }
    if let Some(missing) = first_gap(&partial.pieces, range.end()) {
        return Err(Refusal::bad_request(format!("Parts are missing: nothing has arrived at byte {missing}")));
    }
    plan.public_id = Some(partial.public_id.clone());
    let (folder, pieces) = (state.partials.folder(&key), partial.pieces.keys().copied().collect());
    let assembled = assemble(folder, pieces, state.store.incoming().to_owned()).await?;
    let mut reply = match store(cx, plan, assembled).await {
        Ok(reply) => reply,
        Err(refusal) => {
            state.partials.forget(&key);
            return Err(refusal);
        }
    };
    reply.insert("done".to_owned(), Value::Bool(true));
    finish(state.partials.folder(&key), &mut partial, reply.clone()).await?;
    Ok(Json(reply).into_response())
}
