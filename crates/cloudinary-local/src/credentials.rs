//! Authentication: signed parameters, HTTP Basic, an OAuth token, or an upload preset alone.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cloudinary::signature::{self, Algorithm, Version};
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use crate::config::{Account, Config, FutureSkew};
use crate::http::params::Params;
use crate::http::refusal::{Refusal, clock, stale};

/// Parameters of an unsigned upload, and those that any request may have.
const UNSIGNED_PARAMETERS: [&str; 18] = [
    "upload_preset",
    "callback",
    "public_id",
    "folder",
    "asset_folder",
    "tags",
    "context",
    "metadata",
    "face_coordinates",
    "custom_coordinates",
    "source",
    "filename_override",
    "manifest_transformation",
    "manifest_json",
    "template",
    "template_vars",
    "regions",
    "public_id_prefix",
];
const ALWAYS_ALLOWED: [&str; 5] = ["file", "timestamp", "resource_type", "api_key", "cloud_name"];
/// The newest Python SDK sends these with tags, context and metadata and does not sign them.
const SOMETIMES_UNSIGNED: [&str; 2] = ["notification_url", "batch_id"];

#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub account: Account,
    /// The hash that the request was signed with. The reply is signed alike.
    pub algorithm: Algorithm,
    /// Authorised by an upload preset alone.
    pub unsigned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// An upload, which may be unsigned.
    Upload,
    /// Other calls of the upload API.
    Manage,
    /// Tags, context and metadata. Two fields may be unsigned.
    Labels,
    /// The admin API, which knows no signed parameters.
    Admin,
}

pub(crate) fn authenticate(
    config: &Config,
    cloud: &str,
    headers: &HeaderMap,
    params: &Params,
    scope: Scope,
    now: OffsetDateTime,
) -> Result<Caller, Refusal> {
    let Some(account) = config.account(cloud) else {
        let message = if scope == Scope::Admin {
            "cloud_name mismatch".to_owned()
        } else {
            format!("Invalid cloud_name {cloud}")
        };
        return Err(Refusal::unauthorized(message));
    };
    let algorithm = if config.require_sha256 { Algorithm::Sha256 } else { Algorithm::Sha1 };
    let caller = Caller { account: account.clone(), algorithm, unsigned: false };
    if let Some(authorization) = headers.get(AUTHORIZATION) {
        let text = authorization.to_str().unwrap_or_default();
        return check_header(config, account, text, scope).map(|()| caller);
    }
    if scope == Scope::Admin {
        return Err(Refusal::unauthorized("Invalid credentials"));
    }
    if params.get("signature").is_some() {
        let algorithm = check_signature(config, account, params, scope, now)?;
        return Ok(Caller { algorithm, ..caller });
    }
    if scope != Scope::Upload {
        return Err(Refusal::missing("signature"));
    }
    check_preset(config, params)?;
    Ok(Caller { unsigned: true, ..caller })
}

fn check_header(config: &Config, account: &Account, text: &str, scope: Scope) -> Result<(), Refusal> {
    let invalid = || Refusal::unauthorized("Invalid credentials");
    let (scheme, value) = text.split_once(' ').ok_or_else(invalid)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        let known = config.oauth_tokens.iter().any(|token| token.expose_secret() == value.trim());
        return if known { Ok(()) } else { Err(invalid()) };
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(invalid());
    }
    let decoded = STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let decoded = decoded.ok_or_else(invalid)?;
    let (key, secret) = decoded.split_once(':').ok_or_else(invalid)?;
    if key != account.key {
        return Err(Refusal::unauthorized(format!("Invalid api_key {key}")));
    }
    if secret != account.secret() {
        return Err(Refusal::unauthorized(if scope == Scope::Admin {
            "api_secret mismatch"
        } else {
            "Invalid credentials"
        }));
    }
    Ok(())
}

fn check_signature(
    config: &Config,
    account: &Account,
    params: &Params,
    scope: Scope,
    now: OffsetDateTime,
) -> Result<Algorithm, Refusal> {
    let key = params.require("api_key")?;
    if key != account.key {
        return Err(Refusal::unauthorized(format!("Invalid api_key {key}")));
    }
    let timestamp = params.require("timestamp")?;
    let sent = params.require("signature")?;
    let reduced: Vec<_> =
        params.pairs().iter().filter(|(name, _)| !SOMETIMES_UNSIGNED.contains(&name.as_str())).collect();
    let reduced: Vec<(&str, &str)> = reduced.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let text = signature::string_to_sign(params.pairs(), Version::V2);
    let mut texts = vec![text.clone()];
    if scope == Scope::Labels {
        texts.push(signature::string_to_sign(&reduced, Version::V2));
    }
    let algorithm = Algorithm::of(sent).filter(|algorithm| !config.require_sha256 || *algorithm == Algorithm::Sha256);
    let invalid = || {
        let message = format!("Invalid Signature {sent}. String to sign - '{text}'.");
        Refusal::unauthorized(message)
    };
    let algorithm = algorithm.ok_or_else(invalid)?;
    let verified = texts.iter().any(|text| signature::verify(text.as_bytes(), account.secret(), sent));
    if !verified && !is_version_1(config, account, params, sent) {
        return Err(invalid());
    }
    check_timestamp(config, timestamp, now)?;
    Ok(algorithm)
}

/// Versions 1 and 2 differ only where a value contains `&`.
fn is_version_1(config: &Config, account: &Account, params: &Params, sent: &str) -> bool {
    if !config.accept_v1 || !params.pairs().iter().any(|(_, value)| value.contains('&')) {
        return false;
    }
    let text = signature::string_to_sign(params.pairs(), Version::V1);
    let verified = signature::verify(text.as_bytes(), account.secret(), sent);
    if verified {
        tracing::warn!("signature of version 1 accepted: the client does not escape `&`");
    }
    verified
}

fn check_timestamp(config: &Config, timestamp: &str, now: OffsetDateTime) -> Result<(), Refusal> {
    let invalid = || Refusal::bad_request(format!("Invalid value {timestamp} for parameter timestamp"));
    let seconds: i64 = timestamp.parse().map_err(|_| invalid())?;
    let age = now.unix_timestamp().saturating_sub(seconds);
    // A client that sends milliseconds names a date beyond what can be shown, yet it may be permitted.
    let reported = OffsetDateTime::from_unix_timestamp(seconds);
    if age > seconds_of(config.signature_age) {
        return Err(stale(reported.map_err(|_| invalid())?));
    }
    if let FutureSkew::Within(skew) = config.future_skew
        && age.saturating_neg() > seconds_of(skew)
    {
        let time = reported.map(clock).map_err(|_| invalid())?;
        return Err(Refusal::bad_request(format!(
            "Stale request - reported time is {time} +0000 which is in the future"
        )));
    }
    Ok(())
}

fn seconds_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn check_preset(config: &Config, params: &Params) -> Result<(), Refusal> {
    let Some(preset) = params.get("upload_preset") else {
        return Err(Refusal::bad_request("Upload preset must be specified when using unsigned upload"));
    };
    if !config.presets.iter().any(|known| known == preset) {
        return Err(Refusal::bad_request("Upload preset not found"));
    }
    for (name, _) in params.pairs() {
        let name = name.split('[').next().unwrap_or(name);
        if !UNSIGNED_PARAMETERS.contains(&name) && !ALWAYS_ALLOWED.contains(&name) {
            let mut title: Vec<char> = name.replace('_', " ").chars().collect();
            if let Some(first) = title.first_mut() {
                *first = first.to_ascii_uppercase();
            }
            let title: String = title.into_iter().collect();
            return Err(Refusal::bad_request(format!(
                "{title} parameter is not allowed when using unsigned upload. Only {} upload parameters are allowed.",
                UNSIGNED_PARAMETERS.join(",")
            )));
        }
    }
    Ok(())
}
