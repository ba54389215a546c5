//! Replies that several calls share.

use std::sync::Arc;

use cloudinary::signature;
use serde_json::{Map, Value};

use crate::assets::Asset;
use crate::credentials::Caller;
use crate::http::params::Params;
use crate::http::refusal::Refusal;
use crate::http::request::{Request, RequestContext};

/// Assets on a page: by default, and at most.
const PAGE: usize = 10;
const MAX_PAGE: usize = 500;

/// The reply to uploads, renames and `explicit`: the asset with its signature.
pub(crate) fn signed(cx: &RequestContext, asset: &Asset, caller: &Caller) -> Map<String, Value> {
    let mut reply = asset.describe(&cx.state.public_url);
    let distortions = cx.distortions();
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

pub(crate) fn summary(request: &Request<'_>, asset: &Asset) -> Map<String, Value> {
    asset.describe(&request.cx.state.public_url)
}

/// One page of `assets` and the cursor of the next. The cursor is the asset id of the last one, so it stays valid when
/// others are added or removed.
pub(crate) fn page(assets: Vec<Arc<Asset>>, params: &Params) -> Result<(Vec<Arc<Asset>>, Option<String>), Refusal> {
    let size = params.number("max_results")?.unwrap_or(PAGE);
    if size == 0 || size > MAX_PAGE {
        return Err(Refusal::bad_request(format!("Invalid value {size} for parameter max_results")));
    }
    let start = match params.get("next_cursor") {
        None => 0,
        Some(cursor) => {
            let position = assets.iter().position(|asset| asset.asset_id == cursor);
            position.ok_or_else(|| Refusal::bad_request("Invalid value for parameter next_cursor"))? + 1
        }
    };
    let rest = assets.len().saturating_sub(start);
    let page: Vec<_> = assets.into_iter().skip(start).take(size).collect();
    let next = page.last().filter(|_| rest > size).map(|asset| asset.asset_id.clone());
    Ok((page, next))
}
