//! Stores the bytes of an upload and replies.

use serde_json::{Map, Value, json};

use crate::assets::reply::signed;
use crate::assets::staged_file::StagedFile;
use crate::assets::store::Put;
use crate::assets::{Asset, Identity};
use crate::http::blocking::blocking;
use crate::http::refusal::Refusal;
use crate::http::request::RequestContext;
use crate::notifications::{Event, tell};
use crate::upload::plan::Plan;

pub(crate) async fn store(cx: &RequestContext, plan: Plan, staged: StagedFile) -> Result<Map<String, Value>, Refusal> {
    let (state, now) = (cx.state.clone(), cx.now().unix_timestamp());
    let (plan, put) = blocking(move || {
        let put = plan.put(&state, staged, now)?;
        Ok((plan, put))
    })
    .await?;
    let (asset, outcome) = match put {
        Put::Stored(asset) => (asset, None),
        Put::Overwritten(asset) => (asset, Some("overwritten")),
        Put::Existing(asset) => (asset, Some("existing")),
    };
    cx.is_about(&asset.identity.public_id);
    // Of an upload that has stored nothing there is nothing to tell.
    if outcome != Some("existing") {
        tell(cx, &plan.caller.account, plan.notification_url.as_deref(), &Event::Uploaded(&asset));
    }
    let mut reply = signed(cx, &asset, &plan.caller);
    if let Some(outcome) = outcome {
        reply.insert(outcome.to_owned(), Value::Bool(true));
    }
    if plan.delete_token {
        reply.insert("delete_token".to_owned(), Value::from(cx.state.delete_tokens.issue(&asset.identity)));
    }
    if let Some(folder) = plan.folder {
        reply.insert("folder".to_owned(), Value::from(folder));
    }
    if !plan.eager.is_empty() {
        let derived = plan.eager.iter().map(|text| eager(cx, &asset, text)).collect();
        reply.insert("eager".to_owned(), Value::Array(derived));
    }
    Ok(reply)
}

/// The URL of a derived version. It is rendered when it is first requested.
fn eager(cx: &RequestContext, asset: &Asset, text: &str) -> Value {
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
    let format = format.or(asset.format.as_deref());
    let extension = format.map(|format| format!(".{format}")).unwrap_or_default();
    let base = &cx.state.public_url;
    let url = format!(
        "{base}/{cloud}/{}/{delivery_type}/{transformation}/v{}/{public_id}{extension}",
        resource_type.as_str(),
        asset.version
    );
    json!({ "transformation": transformation, "format": format, "url": url, "secure_url": url })
}
