//! Changes tags, context and metadata of several assets at once.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::assets::{Labels, ResourceType};
use crate::http::blocking::blocking;
use crate::http::refusal::Refusal;
use crate::http::request::Request;

/// Which labels a call changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tags,
    Context,
    Metadata,
}

#[derive(Debug, Clone)]
enum Change {
    AddTags(Vec<String>),
    RemoveTags(Vec<String>),
    ReplaceTags(Vec<String>),
    /// Other assets lose the tag.
    SetExclusive(String),
    AddContext(BTreeMap<String, String>),
    RemoveContext,
    AddMetadata(BTreeMap<String, String>),
}

/// Answers `tags`, `context` or `metadata` with the ids of the changed assets.
pub(crate) async fn change(
    request: &Request<'_>,
    resource_type: ResourceType,
    kind: Kind,
) -> Result<Response, Refusal> {
    let change = parse(request, kind)?;
    let mut template = request.params.clone();
    let public_ids: Vec<String> = request.params.list("public_ids").into_iter().map(str::to_owned).collect();
    let Some(first) = public_ids.first() else { return Err(Refusal::missing("public_ids")) };
    template.push("public_id", first);
    let caller = request.caller.clone();
    let identity = Request { cx: request.cx, caller, params: template }.identity(resource_type, "public_id", "type")?;
    let state = request.cx.state.clone();
    let changed = blocking(move || {
        if let Change::SetExclusive(tag) = &change {
            for asset in state.store.all() {
                let same_kind = asset.identity.cloud == identity.cloud && asset.identity.resource_type == resource_type;
                if same_kind && asset.labels.tags.contains(tag) {
                    state.store.relabel(&asset.identity, |labels| labels.tags.retain(|known| known != tag))?;
                }
            }
        }
        let mut changed = Vec::new();
        for public_id in public_ids {
            let identity = crate::assets::Identity { public_id, ..identity.clone() };
            if state.store.relabel(&identity, |labels| change.apply(labels))?.is_some() {
                changed.push(identity.public_id);
            }
        }
        Ok(changed)
    })
    .await?;
    Ok(Json(json!({ "public_ids": changed })).into_response())
}

fn parse(request: &Request<'_>, kind: Kind) -> Result<Change, Refusal> {
    let params = &request.params;
    let tags = || params.tags("tag").ok_or_else(|| Refusal::missing("tag"));
    let command = params.get("command");
    Ok(match (kind, command) {
        (Kind::Tags, Some("add")) => Change::AddTags(tags()?),
        (Kind::Tags, Some("remove")) => Change::RemoveTags(tags()?),
        (Kind::Tags, Some("replace")) => Change::ReplaceTags(tags()?),
        (Kind::Tags, Some("remove_all")) => Change::ReplaceTags(Vec::new()),
        (Kind::Tags, Some("set_exclusive")) => Change::SetExclusive(params.require("tag")?.to_owned()),
        (Kind::Context, Some("add")) => {
            Change::AddContext(params.key_values("context").ok_or_else(|| Refusal::missing("context"))?)
        }
        (Kind::Context, Some("remove_all")) => Change::RemoveContext,
        (Kind::Metadata, _) => {
            Change::AddMetadata(params.key_values("metadata").ok_or_else(|| Refusal::missing("metadata"))?)
        }
        (_, None) => return Err(Refusal::missing("command")),
        (_, Some(other)) => {
            return Err(Refusal::bad_request(format!("Invalid value {other} for parameter command")));
        }
    })
}

impl Change {
    fn apply(&self, labels: &mut Labels) {
        match self {
            Self::AddTags(tags) => {
                for tag in tags {
                    if !labels.tags.contains(tag) {
                        labels.tags.push(tag.clone());
                    }
                }
            }
            Self::RemoveTags(tags) => labels.tags.retain(|tag| !tags.contains(tag)),
            Self::ReplaceTags(tags) => labels.tags.clone_from(tags),
            Self::SetExclusive(tag) => labels.tags.push(tag.clone()),
            Self::AddContext(context) => labels.context.extend(context.clone()),
            Self::RemoveContext => labels.context.clear(),
            Self::AddMetadata(metadata) => labels.metadata.extend(metadata.clone()),
        }
    }
}
