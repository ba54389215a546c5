//! Settings.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ArgAction;
use program::{HOUR, SECOND, duration};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::Fault;

const MIB: u64 = 1024 * 1024;

/// The smallest chunk that Cloudinary accepts, apart from the last one.
pub const MIN_CHUNK: u64 = 5 * MIB;
/// The largest request body that Cloudinary accepts.
pub const MAX_REQUEST: u64 = 100 * MIB;

/// The settings of a server. Programs flatten them into their arguments; tests start from [`Config::new`].
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Folder for the assets. It is made if missing and serves one server at a time
    #[arg(long, value_name = "DIR", env = "CLOUDINARY_LOCAL_DATA", default_value = ".cloudinary-local")]
    pub data: PathBuf,

    /// Base of the URLs in replies, such as https://media.example [default: the address listened on]
    #[arg(long, value_name = "URL", env = "CLOUDINARY_LOCAL_PUBLIC_URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// Accounts as cloud:key:secret, separated by commas; the option can be repeated
    #[arg(
        long = "account",
        value_name = "CLOUD:KEY:SECRET",
        env = "CLOUDINARY_LOCAL_ACCOUNTS",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "demo:1234:abcd"
    )]
    pub accounts: Vec<Account>,

    /// OAuth tokens for `Authorization: Bearer`, separated by commas; the option can be repeated [default: none]
    #[arg(
        long = "oauth-token",
        value_name = "TOKEN",
        env = "CLOUDINARY_LOCAL_OAUTH_TOKENS",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub oauth_tokens: Vec<SecretString>,

    /// Upload preset for unsigned uploads; the option can be repeated [default: none]
    #[arg(long = "preset", value_name = "NAME")]
    pub presets: Vec<String>,

    /// Smallest chunk of an upload, in bytes; the last one may be smaller
    #[arg(long, value_name = "BYTES", default_value_t = MIN_CHUNK)]
    pub min_chunk: u64,

    /// Largest body of a request, in bytes; a larger one is answered with 413 in HTML
    #[arg(long, value_name = "BYTES", default_value_t = MAX_REQUEST)]
    pub max_request: u64,

    /// Largest image, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 40 * MIB)]
    pub max_image: u64,

    /// Largest video or audio file, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4096 * MIB)]
    pub max_video: u64,

    /// Largest raw file, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 40 * MIB)]
    pub max_raw: u64,

    /// Largest image that is transformed, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 25_000_000)]
    pub max_pixels: u64,

    /// How old a signature may be
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration(..))]
    pub signature_age: Duration,

    /// How far a signature's timestamp may lie in the future, or `any`
    #[arg(long, value_name = "TIME|any", default_value = "1h")]
    pub future_skew: FutureSkew,

    /// Refuse SHA-1 signatures, as some accounts do
    #[arg(long)]
    pub require_sha256: bool,

    /// Accept signatures of version 1, which do not escape `&`; each that differs is logged
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, default_value_t = true)]
    pub accept_v1: bool,

    /// Time after the last chunk until an unfinished upload is removed
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration(..))]
    pub partial_ttl: Duration,

    /// Fetch files (file=http://...) from this machine and its networks, and notify there, for whoever can upload, pages included
    #[arg(long)]
    pub fetch_private: bool,

    /// Addresses told of everything, separated by commas [default: none]
    #[arg(
        long = "notification-url",
        value_name = "URL",
        env = "CLOUDINARY_LOCAL_NOTIFICATION_URL",
        value_delimiter = ',',
        value_parser = notification_url
    )]
    pub notification_urls: Vec<Option<Url>>,

    /// Time until a notification that nobody took is sent again
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration(..))]
    pub notification_retry: Duration,

    /// Open /__admin for faults and inspection. Anyone who reaches the server can then make it misbehave
    #[arg(long)]
    pub admin: bool,

    /// Fault to install, as JSON or as key=value,key=value; the option can be repeated (see below)
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<Fault>,
}

impl Config {
    /// The defaults, with assets in `data`. Reads no environment variable.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            public_url: None,
            accounts: vec![Account::new("demo", "1234", "abcd")],
            oauth_tokens: Vec::new(),
            presets: Vec::new(),
            min_chunk: MIN_CHUNK,
            max_request: MAX_REQUEST,
            max_image: 40 * MIB,
            max_video: 4096 * MIB,
            max_raw: 40 * MIB,
            max_pixels: 25_000_000,
            signature_age: HOUR,
            future_skew: FutureSkew::Within(HOUR),
            require_sha256: false,
            accept_v1: true,
            partial_ttl: HOUR,
            fetch_private: false,
            notification_urls: Vec::new(),
            notification_retry: SECOND,
            admin: false,
            faults: Vec::new(),
        }
    }

    pub(crate) fn account(&self, cloud: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.cloud == cloud)
    }
}

/// A product environment ("cloud") and its one key pair.
#[derive(Debug, Clone)]
pub struct Account {
    /// The cloud name, the first path segment of a delivery URL.
    pub cloud: String,
    /// Not secret.
    pub key: String,
    pub secret: SecretString,
}

impl Account {
    pub fn new(cloud: impl Into<String>, key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { cloud: cloud.into(), key: key.into(), secret: SecretString::from(secret.into()) }
    }

    pub(crate) fn secret(&self) -> &str {
        self.secret.expose_secret()
    }
}

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [cloud, key, secret] = parts[..] else {
            return Err("expected cloud:key:secret, several separated by commas".to_owned());
        };
        for (name, part) in [("cloud", cloud), ("key", key), ("secret", secret)] {
            let plain = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
            if part.is_empty() || !plain {
                return Err(format!("expected cloud:key:secret, with a {name} of ASCII letters, digits, _ and -"));
            }
        }
        Ok(Self::new(cloud, key, secret))
    }
}

/// Nothing between two commas is none.
fn notification_url(text: &str) -> Result<Option<Url>, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.map(Some).ok_or("expected http or https addresses such as http://127.0.0.1:8000/api/v1/webhooks/cloudinary")
}

fn public_url(text: &str) -> Result<String, &'static str> {
    let usable = |url: &Url| {
        let plain = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && plain && url.query().is_none() && url.fragment().is_none()
    };
    match Url::parse(text).ok().filter(usable) {
        Some(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        None => Err("expected an http or https address without query, such as https://media.example"),
    }
}

/// How far ahead of the server's clock a signature may be dated.
///
/// It is not known whether Cloudinary has such a limit, so it can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FutureSkew {
    Within(Duration),
    Any,
}

impl FromStr for FutureSkew {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "any" {
            return Ok(Self::Any);
        }
        duration(..)(text).map(Self::Within).map_err(|expected| format!("{expected}, or any"))
    }
}
