//! Classifies refusals. Pure functions.
//!
//! Cloudinary has no machine-readable error codes. The status decides. Where one status means several things, the
//! message does: such messages were seen in the field and are matched by their stable parts.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// A wrong clock, ours or theirs, must not delay a job for years.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
const TRY_AGAIN_AT: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
/// Characters of a message that error texts repeat.
const MESSAGE_LIMIT: usize = 500;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Try again: the cause passes.
    Retry {
        /// How long the server asked us to wait; `None` if it did not.
        after: Option<Duration>,
    },
    /// The same request will always be refused.
    Discard,
    /// Our configuration, account or clock is wrong. Keep the job, retry slowly, and tell a person.
    Operator,
}

/// Classifies a reply that is no success. For [`ErrorClass::Operator`] it says what a person should check.
///
/// An unknown status is for the operator: no user's file is discarded because of it.
pub(crate) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> (ErrorClass, Option<&'static str>) {
    let message = text(headers, body);
    let advice = match status.as_u16() {
        420 if names_an_add_on(&message) => "check the account's add-ons and plan",
        200..=299 | 408 | 420 | 423 | 429 | 500..=599 => {
            return (ErrorClass::Retry { after: wait(status, headers, &message) }, None);
        }
        400 if is_stale(status, &message) => "set this machine's clock",
        400 if message.starts_with("All parts except EOF-chunk") => "raise CLOUDINARY_CHUNK_SIZE",
        400 if message.starts_with("Missing required parameter") || message.starts_with("Upload preset") => {
            "check the proxies in front of CLOUDINARY_UPLOAD_PREFIX: the request arrived without its fields"
        }
        400 if said(headers, body).is_some() => return (ErrorClass::Discard, None),
        409 | 413 => return (ErrorClass::Discard, None),
        401 if message.contains("cloud_name") => "check the cloud name in CLOUDINARY_URL or CLOUDINARY_CLOUD_NAME",
        401 => "check CLOUDINARY_URL, or CLOUDINARY_API_KEY and CLOUDINARY_API_SECRET",
        403 => "check what the key in CLOUDINARY_URL or CLOUDINARY_API_KEY may do",
        _ => "check CLOUDINARY_UPLOAD_PREFIX and the cloud name",
    };
    (ErrorClass::Operator, Some(advice))
}

/// Whether a request was refused because its timestamp is more than an hour old.
pub(crate) fn is_stale(status: StatusCode, message: &str) -> bool {
    status == StatusCode::BAD_REQUEST && message.starts_with("Stale request")
}

/// Cloudinary's own error text, from the JSON or the header that repeats it. `None` if a server in front of it
/// answered.
fn said(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| json.pointer("/error/message")).and_then(Value::as_str);
    message.or_else(|| headers.get("x-cld-error")?.to_str().ok()).map(str::to_owned)
}

/// Cloudinary's error text, or the whole reply: front servers answer in HTML.
pub(crate) fn text(headers: &HeaderMap, body: &[u8]) -> String {
    said(headers, body).unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

/// Makes a foreign text fit for a log: one line of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if line.len() + word.len() > MESSAGE_LIMIT {
            line.extend(word.chars().take(MESSAGE_LIMIT.saturating_sub(line.len())));
            line.push('…');
            break;
        }
        line.push_str(if line.is_empty() { "" } else { " " });
        line.push_str(word);
    }
    line
}

/// The server's time, if the reply has it.
pub(crate) fn server_time(headers: &HeaderMap) -> Option<SystemTime> {
    http_date(headers, DATE.as_str())
}

fn http_date(headers: &HeaderMap, name: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// How long the server asks us to wait. Front servers send `Retry-After` (RFC 9110, section 10.2.3); the others are
/// Cloudinary's own. A time says so only together with the server's own: ours may be wrong.
fn wait(status: StatusCode, headers: &HeaderMap, message: &str) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    if let Some(seconds) = seconds {
        return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
    }
    // Every reply of the Admin API says when its budget is reset. That matters only if the budget is the problem.
    let is_throttled = matches!(status.as_u16(), 420 | 429);
    let until = http_date(headers, RETRY_AFTER.as_str())
        .or_else(|| try_again_on(message))
        .or_else(|| http_date(headers, "x-featureratelimit-reset").filter(|_| is_throttled))?;
    Some(until.duration_since(server_time(headers)?).unwrap_or_default().min(LONGEST_WAIT))
}

/// The time in `Rate Limit Exceeded. ... Try again on 2026-09-08 10:00:00 UTC`.
fn try_again_on(message: &str) -> Option<SystemTime> {
    let (_, time) = message.split_once("Try again on ")?;
    let time = PrimitiveDateTime::parse(time.get(..19)?, TRY_AGAIN_AT).ok()?;
    Some(time.assume_utc().into())
}

/// Whether waiting does not help against a 420: it is about an add-on's quota or a missing subscription. The quota of
/// `api operations` is reset by itself.
fn names_an_add_on(message: &str) -> bool {
    if message.contains("subscription") {
        return true;
    }
    let Some((_, limit)) = message.split_once("Limit of ") else { return false };
    let Some((what, _)) = limit.split_once(" operations") else { return false };
    !what.ends_with(" api")
}

#[cfg(test)]
mod tests;
