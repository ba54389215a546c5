//! Settings, as `clap` arguments with their defaults.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ArgAction;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::Fault;

const MIB: u64 = 1024 * 1024;

/// The smallest chunk that Cloudinary takes, apart from the last one: 5 MiB.
pub const MIN_CHUNK: u64 = 5 * MIB;
/// The largest body of one request that Cloudinary's front servers let through: 100 MB.
pub const MAX_REQUEST: u64 = 100 * MIB;

/// How the server behaves. Programs flatten it into their own arguments; tests take [`Config::new`] and set fields.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Folder for the assets; made if missing. Only one server may use it at a time
    #[arg(long, value_name = "DIR", env = "CLOUDINARY_LOCAL_DATA", default_value = ".cloudinary-local")]
    pub data: PathBuf,

    /// Base of the URLs in replies, such as https://media.example [default: the address listened on]
    #[arg(long, value_name = "URL", env = "CLOUDINARY_LOCAL_PUBLIC_URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// Who may use the server, as cloud:key:secret; repeat for several, or separate them with commas
    #[arg(
        long = "account",
        value_name = "CLOUD:KEY:SECRET",
        env = "CLOUDINARY_LOCAL_ACCOUNTS",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = "demo:1234:abcd"
    )]
    pub accounts: Vec<Account>,

    /// An OAuth token that is accepted as `Authorization: Bearer`; repeat for several [default: none]
    #[arg(
        long = "oauth-token",
        value_name = "TOKEN",
        env = "CLOUDINARY_LOCAL_OAUTH_TOKENS",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub oauth_tokens: Vec<SecretString>,

    /// An upload preset that permits unsigned uploads; repeat for several [default: none]
    #[arg(long = "preset", value_name = "NAME")]
    pub presets: Vec<String>,

    /// Smallest chunk of a chunked upload, in bytes; the last one may be smaller
    #[arg(long, value_name = "BYTES", default_value_t = MIN_CHUNK)]
    pub min_chunk: u64,

    /// Largest body of one request, in bytes; beyond it the answer is 413 in HTML
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

    /// Largest image that is transformed at delivery, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 25_000_000)]
    pub max_pixels: u64,

    /// How old a signature may be, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub signature_age: u64,

    /// How far a signature's timestamp may lie in the future: seconds, or `any`
    #[arg(long, value_name = "SECONDS|any", default_value_t = FutureSkew::Seconds(3600))]
    pub future_skew: FutureSkew,

    /// Refuse SHA-1 signatures, as some accounts do
    #[arg(long)]
    pub require_sha256: bool,

    /// Accept signatures of version 1, in which `&` is not escaped, where the difference matters; each is logged
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, default_value_t = true)]
    pub accept_v1: bool,

    /// Seconds after which an unfinished chunked upload is forgotten
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub partial_ttl: u64,

    /// Open /__admin: faults, inspection. Anyone who reaches the server can then make it misbehave
    #[arg(long)]
    pub admin: bool,

    /// A fault to start with, as JSON or as key=value,key=value; repeat for several (see below)
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<Fault>,
}

impl Config {
    /// The defaults, with assets in `data`. Reads no environment variables.
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
            signature_age: 3600,
            future_skew: FutureSkew::Seconds(3600),
            require_sha256: false,
            accept_v1: true,
            partial_ttl: 3600,
            admin: false,
            faults: Vec::new(),
        }
    }

    /// The account of that cloud name.
    pub(crate) fn account(&self, cloud: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.cloud == cloud)
    }
}

/// A product environment ("cloud") and the one key pair that opens it.
#[derive(Debug, Clone)]
pub struct Account {
    /// The cloud name, the first path segment of a delivery URL.
    pub cloud: String,
    /// The API key, which is not secret.
    pub key: String,
    /// The API secret.
    pub secret: SecretString,
}

impl Account {
    /// An account from its three parts.
    pub fn new(cloud: impl Into<String>, key: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { cloud: cloud.into(), key: key.into(), secret: SecretString::from(secret.into()) }
    }

    /// The secret itself, for hashing.
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
/// Whether Cloudinary has such a limit is not known, so it can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FutureSkew {
    /// At most this many seconds.
    Seconds(u64),
    /// Any time in the future will do.
    Any,
}

impl FromStr for FutureSkew {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "any" {
            return Ok(Self::Any);
        }
        text.parse().map(Self::Seconds).map_err(|_| "expected a number of seconds, or `any`".to_owned())
    }
}

impl fmt::Display for FutureSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(f, "{seconds}"),
            Self::Any => f.write_str("any"),
        }
    }
}
