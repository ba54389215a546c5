//! Notifications: a signed POST to whoever wants to know what has become of an asset.
//!
//! They go to the addresses of the account, and to the one that a call names in `notification_url`. Nobody waits for them.

mod sending;

use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};
use url::Url;

use crate::assets::{Asset, rfc3339};
use crate::config::Account;
use crate::http::request::RequestContext;
use crate::state::State;
use crate::upload::reach;

pub use sending::NotificationCount;
pub(crate) use sending::Sender;

/// Who is told, and how much.
#[derive(Debug)]
pub(crate) struct Notifications {
    /// Told of everything.
    always: Mutex<Vec<Url>>,
    pub sender: Sender,
}

impl Notifications {
    pub(crate) fn new(always: Vec<Url>) -> Self {
        Self { always: Mutex::new(always), sender: Sender::default() }
    }

    pub(crate) fn always(&self) -> Vec<Url> {
        self.always.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the addresses that are told of everything. What is on its way still arrives at the former ones.
    pub(crate) fn set_always(&self, addresses: Vec<Url>) {
        *self.always.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }
}

/// What happened.
pub(crate) enum Event<'a> {
    Uploaded(&'a Asset),
    /// Together, by one call.
    Deleted(&'a [std::sync::Arc<Asset>]),
    Renamed {
        from: &'a str,
        asset: &'a Asset,
    },
    /// By a person, in the console.
    Moderated {
        status: &'a str,
        asset: &'a Asset,
    },
}

/// Tells whoever wants to know, behind the answer. `asked`: the `notification_url` of the call, which may lead to this machine only if
/// somebody on it said so.
pub(crate) fn tell(cx: &RequestContext, account: &Account, asked: Option<&str>, event: &Event<'_>) {
    let state = &cx.state;
    let mut targets = state.notifications.always();
    if let Some(url) = asked.and_then(|text| wanted(state, text))
        && !targets.contains(&url)
    {
        targets.push(url);
    }
    if targets.is_empty() {
        return;
    }
    let now = cx.now();
    let (kind, mut body) = event.body(&state.public_url, &rfc3339(now.unix_timestamp()));
    let triggered_at = rfc3339(now.unix_timestamp()).trim_end_matches('Z').to_owned();
    for (name, value) in [
        ("notification_type", json!(kind)),
        ("timestamp", json!(rfc3339(now.unix_timestamp()))),
        ("request_id", json!(cx.request_id)),
        (
            "notification_context",
            json!({
                "triggered_at": format!("{triggered_at}.{:06}Z", now.microsecond()),
                "triggered_by": { "source": "api", "id": account.key },
            }),
        ),
        ("signature_key", json!(account.key)),
    ] {
        body.insert(name.to_owned(), value);
    }
    let body = bytes::Bytes::from(Value::Object(body).to_string());
    for target in targets {
        state.notifications.sender.send(state, account, target, body.clone());
    }
}

/// The address that a call names, unless it is none, or one that a page in a browser must not reach through us.
fn wanted(state: &State, text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        tracing::warn!("a notification_url is no http or https address: nobody is told there");
        return None;
    };
    let is_known = state.config.fetch_private || state.notifications.always().contains(&url);
    match reach::check(&url) {
        Err(refused) if !is_known => {
            tracing::warn!(%refused, "a notification_url is out of reach: nobody is told there");
            None
        }
        _ => Some(url),
    }
}

impl Event<'_> {
    /// The notification's type and its fields.
    fn body(&self, public_url: &str, now: &str) -> (&'static str, Map<String, Value>) {
        match self {
            Self::Uploaded(asset) => ("upload", asset.describe(public_url)),
            Self::Deleted(assets) => {
                let resources: Vec<Value> = assets.iter().map(|asset| Value::Object(identity(asset))).collect();
                ("delete", Map::from_iter([("resources".to_owned(), Value::Array(resources))]))
            }
            Self::Renamed { from, asset } => {
                let mut fields = identity(asset);
                fields.remove("public_id");
                fields.insert("from_public_id".to_owned(), json!(from));
                fields.insert("to_public_id".to_owned(), json!(asset.identity.public_id));
                ("rename", fields)
            }
            Self::Moderated { status, asset } => {
                let mut fields = asset.describe(public_url);
                fields.insert("moderation_kind".to_owned(), json!("manual"));
                fields.insert("moderation_status".to_owned(), json!(status));
                fields.insert("moderation_updated_at".to_owned(), json!(now));
                ("moderation", fields)
            }
        }
    }
}

fn identity(asset: &Asset) -> Map<String, Value> {
    let fields = [
        ("resource_type", json!(asset.identity.resource_type)),
        ("type", json!(asset.identity.delivery_type)),
        ("asset_id", json!(asset.asset_id)),
        ("public_id", json!(asset.identity.public_id)),
        ("version", json!(asset.version)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
