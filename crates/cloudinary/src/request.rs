//! One request. It is signed when it leaves, a large file is read from disk meanwhile, and its reply is bounded.

use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt;
use reqwest::header::{CONTENT_RANGE, HeaderMap};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, RequestBuilder, StatusCode};
use secrecy::ExposeSecret;
use serde_json::Value;
use tracing::Instrument;
use url::Url;

use crate::chunks::Chunk;
use crate::classify::{classify, is_stale, one_line, server_time, text};
use crate::client::Client;
use crate::config::Config;
use crate::error::{Error, Refusal};
use crate::signature::{Version, sign};
use crate::source::{Source, Unread};
use crate::spans;

/// Cloudinary's replies are a few kilobytes. A longer one is cut, and so cannot be understood.
const REPLY_LIMIT: usize = 1 << 20;

/// What a request is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    Upload,
    Chunk,
    Deletion,
    LookUp,
}

impl Operation {
    /// Its name in error texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "the upload",
            Self::Chunk => "a chunk",
            Self::Deletion => "the deletion",
            Self::LookUp => "the look-up",
        }
    }

    /// Its name in metrics and traces.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Chunk => "chunk",
            Self::Deletion => "delete",
            Self::LookUp => "lookup",
        }
    }
}

/// A POST to the Upload API.
pub(crate) struct Post<'a> {
    pub operation: Operation,
    /// The path after the cloud name.
    pub path: [&'a str; 2],
    /// All signed fields but the timestamp.
    pub fields: &'a [(&'static str, &'a str)],
    pub file: Option<FilePart<'a>>,
}

/// A file, or a chunk of it.
pub(crate) struct FilePart<'a> {
    pub source: &'a Source,
    pub file_name: &'a str,
    pub chunk: Chunk,
    /// Common to the chunks of a file; `None` for a whole file.
    pub upload_id: Option<&'a str>,
}

/// A reply of any status.
pub(crate) struct Reply {
    operation: &'static str,
    pub status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    /// The signature of the request, which error texts may repeat.
    signature: String,
}

/// The offset of Cloudinary's clock from ours, in seconds. It is learned when a timestamp is refused.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicI64);

impl Clock {
    /// The time to sign, in Unix seconds.
    fn now(&self) -> i64 {
        unix_seconds(SystemTime::now()).saturating_add(self.0.load(Ordering::Relaxed))
    }

    /// Follows the server's clock from now on.
    fn follow(&self, server: SystemTime) {
        let offset = unix_seconds(server).saturating_sub(unix_seconds(SystemTime::now()));
        self.0.store(offset, Ordering::Relaxed);
        tracing::warn!(offset_seconds = offset, "our clock differs from Cloudinary's, signing with its time");
    }
}

fn unix_seconds(time: SystemTime) -> i64 {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

impl Client {
    /// Sends a signed request. If its timestamp is refused, follows the server's clock and sends it once more.
    pub(crate) async fn post(&self, post: &Post<'_>) -> Result<Reply, Error> {
        let reply = self.post_once(post).await?;
        if !is_stale(reply.status, &text(&reply.headers, &reply.body)) {
            return Ok(reply);
        }
        let Some(server) = server_time(&reply.headers) else { return Ok(reply) };
        self.clock.follow(server);
        self.post_once(post).await
    }

    async fn post_once(&self, post: &Post<'_>) -> Result<Reply, Error> {
        let config = &self.config;
        let timestamp = self.clock.now().to_string();
        let mut fields = post.fields.to_vec();
        fields.push(("timestamp", &timestamp));
        let signature = sign(&fields, config.api_secret.expose_secret(), config.algorithm, Version::V2);
        fields.push(("signature", &signature));
        fields.push(("api_key", config.api_key.expose_secret()));

        let request = self.http.post(endpoint(config, &post.path));
        let (request, sent) = match &post.file {
            None => (request.form(&fields), 0),
            Some(file) => (with_file(request, &fields, file).await?, file.chunk.length),
        };
        let request = request.timeout(config.timeout_for(sent));
        let reply = self.receive(post.operation, request, signature).await;
        reply.map_err(|error| match (&post.file, unread(&error)) {
            (Some(file), Some(cause)) => file.source.failed(cause),
            _ => Error::transport(post.operation.as_str(), error),
        })
    }

    /// Asks the Admin API, with HTTP Basic authentication.
    pub(crate) async fn get(&self, operation: Operation, path: &[&str]) -> Result<Reply, Error> {
        let config = &self.config;
        let request = self
            .http
            .get(endpoint(config, path))
            .basic_auth(config.api_key.expose_secret(), Some(config.api_secret.expose_secret()))
            .timeout(config.timeout);
        let reply = self.receive(operation, request, String::new()).await;
        reply.map_err(|error| Error::transport(operation.as_str(), error))
    }

    /// Sends a request and measures it.
    async fn receive(
        &self,
        operation: Operation,
        request: RequestBuilder,
        signature: String,
    ) -> reqwest::Result<Reply> {
        let began = Instant::now();
        let span = spans::of(&self.config, operation);
        let reply = receive(operation.as_str(), request, signature).instrument(span.clone()).await;
        spans::note(&span, reply.as_ref().map(|reply| reply.status));
        let class = match &reply {
            Ok(reply) => Some(status_class(reply.status)),
            // The file was not read: not the media host's fault.
            Err(error) if unread(error).is_some() => None,
            Err(_) => Some("none"),
        };
        if let Some(class) = class {
            meters::MEDIA_HOST_REQUEST.took(&[operation.action(), class], began.elapsed());
        }
        let remaining = reply.as_ref().ok().and_then(|reply| reply.headers.get("x-featureratelimit-remaining"));
        if let Some(remaining) = remaining.and_then(|text| text.to_str().ok()?.parse().ok()) {
            self.allowance.store(remaining, Ordering::Relaxed);
        }
        reply
    }

    /// How many requests the account may still send, as Cloudinary said last. `None`: it has not said.
    pub fn rate_limit_remaining(&self) -> Option<u64> {
        u64::try_from(self.allowance.load(Ordering::Relaxed)).ok()
    }

    /// The JSON of a success.
    pub(crate) fn accept(&self, reply: &Reply) -> Result<Value, Error> {
        if !reply.status.is_success() {
            return Err(self.refusal(reply));
        }
        match serde_json::from_slice::<Value>(&reply.body) {
            Ok(json) if json.get("error").is_some() => Err(self.refusal(reply)),
            Ok(json) if json.is_object() => Ok(json),
            _ => Err(self.unreadable(reply)),
        }
    }

    /// The error for a reply with status 200 that cannot be understood.
    pub(crate) fn unreadable(&self, reply: &Reply) -> Error {
        let (request_id, body) = (self.request_id(reply), self.message(reply));
        Error::Unreadable { operation: reply.operation, request_id, body }
    }

    fn refusal(&self, reply: &Reply) -> Error {
        let (class, advice) = classify(reply.status, &reply.headers, &reply.body);
        Error::Refused(Box::new(Refusal {
            operation: reply.operation,
            status: reply.status,
            request_id: self.request_id(reply),
            message: self.message(reply),
            class,
            advice,
        }))
    }

    fn message(&self, reply: &Reply) -> String {
        self.told(&text(&reply.headers, &reply.body), &reply.signature)
    }

    fn request_id(&self, reply: &Reply) -> String {
        let id = reply.headers.get("x-request-id").and_then(|id| id.to_str().ok());
        self.told(id.unwrap_or("unknown"), &reply.signature).chars().take(100).collect()
    }

    /// Makes a text of a reply fit for an error. It may repeat our key and signature: they are removed before the text
    /// is cut, or half of one could be left.
    pub(crate) fn told(&self, text: &str, signature: &str) -> String {
        let mut text = text.to_owned();
        for hidden in [self.config.api_secret.expose_secret(), self.config.api_key.expose_secret(), signature] {
            if !hidden.is_empty() {
                text = text.replace(hidden, "[redacted]");
            }
        }
        one_line(&text)
    }
}

impl Reply {
    /// Whether there is no such asset, rather than no such cloud or route.
    pub fn is_absent(&self) -> bool {
        if self.status != StatusCode::NOT_FOUND {
            return false;
        }
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let said = json.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
        said.starts_with("Resource not found") || json.get("result").and_then(Value::as_str) == Some("not found")
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

async fn receive(operation: &'static str, request: RequestBuilder, signature: String) -> reqwest::Result<Reply> {
    let mut response = request.send().await?;
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await? {
        body.extend_from_slice(&bytes);
        if body.len() > REPLY_LIMIT {
            body.truncate(REPLY_LIMIT);
            break;
        }
    }
    let (status, headers) = (response.status(), response.headers().clone());
    tracing::debug!(operation, status = status.as_u16(), "cloudinary answered");
    Ok(Reply { operation, status, headers, body, signature })
}

/// `{upload_prefix}/v1_1/{cloud}/...`, each segment percent-encoded.
fn endpoint(config: &Config, path: &[&str]) -> Url {
    let mut url = config.upload_prefix.clone();
    // `Config` has checked that it is an http URL, and so has a path.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push("v1_1").push(&config.cloud_name).extend(path);
    }
    url
}

/// Adds the fields and the file as multipart. Text parts get no `Content-Type`: Cloudinary's parser ignores those that
/// have one.
async fn with_file(
    request: RequestBuilder,
    fields: &[(&'static str, &str)],
    file: &FilePart<'_>,
) -> Result<RequestBuilder, Error> {
    let mut form = Form::new();
    for (name, value) in fields {
        form = form.text(*name, (*value).to_owned());
    }
    let request = match file.upload_id {
        None => request,
        Some(id) => {
            request.header("x-unique-upload-id", id).header(CONTENT_RANGE, file.chunk.content_range(file.source.bytes))
        }
    };
    let content = file.source.read(file.chunk).await?;
    let content = content.inspect_ok(|piece| meters::MEDIA_HOST_SENT.add(&[], piece.len() as u64));
    let content = Body::wrap_stream(content);
    let part = Part::stream_with_length(content, file.chunk.length).file_name(plain_name(file.file_name));
    Ok(request.multipart(form.part("file", part)))
}

/// It is not known whether Cloudinary's parser understands quotes or non-ASCII characters in a file name.
fn plain_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    let name: String = name.chars().take(100).map(plain).collect();
    if name.is_empty() { "file".to_owned() } else { name }
}

pub(crate) fn unread(error: &reqwest::Error) -> Option<Unread> {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    Some(match causes.find_map(|cause| cause.downcast_ref())? {
        Unread::File(cause) => Unread::File(io::Error::new(cause.kind(), cause.to_string())),
        Unread::Damaged => Unread::Damaged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_to_the_prefix_and_encoded() {
        let config = Config::new("demo", "1234", "abcd").unwrap();
        let at = |prefix: &str, path: &[&str]| {
            endpoint(&Config { upload_prefix: prefix.parse().unwrap(), ..config.clone() }, path).to_string()
        };
        assert_eq!(at("http://h:1", &["image", "upload"]), "http://h:1/v1_1/demo/image/upload");
        assert_eq!(at("http://h/base/", &["ping"]), "http://h/base/v1_1/demo/ping");
        assert_eq!(at("http://h", &["a", "b c", "é?&#/"]), "http://h/v1_1/demo/a/b%20c/%C3%A9%3F&%23%2F");
    }

    #[test]
    fn file_names_are_reduced_to_what_every_parser_understands() {
        assert_eq!(plain_name("holiday-1.jpg"), "holiday-1.jpg");
        assert_eq!(plain_name("naïve \"q\".png"), "na_ve__q_.png");
        assert_eq!(plain_name("../../a\r\nb"), ".._.._a__b");
        assert_eq!(plain_name(""), "file");
    }

    #[test]
    fn the_clock_follows_the_server() {
        let clock = Clock::default();
        let server = SystemTime::now() + std::time::Duration::from_secs(7200);
        clock.follow(server);
        assert!((clock.now() - unix_seconds(server)).abs() <= 1);
    }
}
