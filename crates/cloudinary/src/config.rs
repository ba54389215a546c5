//! Settings: the account, the address of the API, and limits.

use std::fmt;
use std::time::Duration;

use program::{MILLISECOND, duration, number};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::signature::Algorithm;

const DEFAULT_PREFIX: &str = "https://api.cloudinary.com";
const DEFAULT_CHUNK_SIZE: u64 = 20_000_000;
/// Cloudinary refuses smaller chunks, the last one excepted.
const MIN_CHUNK_SIZE: u64 = 5 * 1024 * 1024;
/// Cloudinary refuses requests of more than 100 MB, and the fields around the file need room.
const MAX_CHUNK_SIZE: u64 = 99_000_000;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_MIN_RATE: u64 = 100_000;

const URL: &str = "CLOUDINARY_URL";
const CLOUD_NAME: &str = "CLOUDINARY_CLOUD_NAME";
const API_KEY: &str = "CLOUDINARY_API_KEY";
const API_SECRET: &str = "CLOUDINARY_API_SECRET";
const UPLOAD_PREFIX: &str = "CLOUDINARY_UPLOAD_PREFIX";
const CHUNK_SIZE: &str = "CLOUDINARY_CHUNK_SIZE";
const TIMEOUT: &str = "CLOUDINARY_TIMEOUT";
const MIN_RATE: &str = "CLOUDINARY_MIN_RATE";
const SIGNATURE_ALGORITHM: &str = "CLOUDINARY_SIGNATURE_ALGORITHM";

// What settings are expected to hold.
const ACCOUNT: &str = "cloudinary://<api_key>:<api_secret>@<cloud_name>";
const SEPARATE: &str = "CLOUDINARY_CLOUD_NAME, CLOUDINARY_API_KEY and CLOUDINARY_API_SECRET";
const AGREED: &str = "nothing, or what CLOUDINARY_URL says: official SDKs disagree about which of them counts";

/// The options of a program that talks to Cloudinary.
///
/// They are read into a [`Config`] only together: an empty value counts as none, and what is not set may stand in the
/// URL.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Cloudinary")]
pub struct CloudinaryArgs {
    /// Account in one address: `cloudinary://<api_key>:<api_secret>@<cloud_name>`; `?upload_prefix=`,
    /// `signature_algorithm=`, `chunk_size=` and `timeout=` may follow
    #[arg(long, env = URL, hide_env_values = true, value_name = "URL")]
    pub cloudinary_url: Option<SecretString>,

    /// Account, if CLOUDINARY_URL is not set
    #[arg(long, env = CLOUD_NAME, value_name = "NAME")]
    pub cloudinary_cloud_name: Option<String>,

    /// API key, if CLOUDINARY_URL is not set
    #[arg(long, env = API_KEY, hide_env_values = true, value_name = "KEY")]
    pub cloudinary_api_key: Option<SecretString>,

    /// API secret, if CLOUDINARY_URL is not set
    #[arg(long, env = API_SECRET, hide_env_values = true, value_name = "SECRET")]
    pub cloudinary_api_secret: Option<SecretString>,

    /// Address of the API [default: Cloudinary itself]
    #[arg(long, env = UPLOAD_PREFIX, value_name = "URL")]
    pub cloudinary_upload_prefix: Option<String>,

    /// Files above this many bytes are sent in chunks of this size [default: 20000000]
    #[arg(long, env = CHUNK_SIZE, value_name = "BYTES")]
    pub cloudinary_chunk_size: Option<String>,

    /// Time that a request may take, besides the time that its bytes need [default: 30s]
    #[arg(long, env = TIMEOUT, value_name = "TIME")]
    pub cloudinary_timeout: Option<String>,

    /// Bytes a second below which a transfer counts as stuck [default: 100000]
    #[arg(long, env = MIN_RATE, value_name = "BYTES")]
    pub cloudinary_min_rate: Option<String>,

    /// Hash that requests are signed with: sha1 or sha256 [default: sha1]
    #[arg(long, env = SIGNATURE_ALGORITHM, value_name = "NAME")]
    pub cloudinary_signature_algorithm: Option<String>,
}

/// Why there is no [`Config`] or no client.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A setting that cannot work.
    #[error(transparent)]
    Setting(#[from] program::ConfigError),
    /// The HTTP client cannot be set up, for example without root certificates.
    #[error("the HTTP client for Cloudinary cannot be set up: {0}")]
    Http(#[source] reqwest::Error),
}

fn refused(variable: &'static str, expected: impl Into<String>) -> ConfigError {
    program::ConfigError::new(variable, expected).into()
}

/// The settings of a client. Its `Debug` shows neither key nor secret.
#[derive(Clone)]
pub struct Config {
    pub(crate) cloud_name: String,
    pub(crate) api_key: String,
    pub(crate) api_secret: SecretString,
    pub(crate) upload_prefix: Url,
    pub(crate) algorithm: Algorithm,
    pub(crate) chunk_size: u64,
    pub(crate) timeout: Duration,
    pub(crate) min_rate: u64,
}

impl Config {
    /// An account at Cloudinary itself, all else as by default. Errors name the separate variables.
    pub fn new(cloud_name: &str, api_key: &str, api_secret: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            cloud_name: checked(CLOUD_NAME, cloud_name, is_name, "a cloud name of letters, digits, - and _")?,
            api_key: checked(API_KEY, api_key, is_credential, "an API key without spaces, quotes or brackets")?,
            api_secret: checked(
                API_SECRET,
                api_secret,
                is_credential,
                "an API secret without spaces, quotes or brackets",
            )?
            .into(),
            upload_prefix: parse_prefix(UPLOAD_PREFIX, DEFAULT_PREFIX)?,
            algorithm: Algorithm::default(),
            chunk_size: DEFAULT_CHUNK_SIZE,
            timeout: DEFAULT_TIMEOUT,
            min_rate: DEFAULT_MIN_RATE,
        })
    }

    /// Sets the http or https address of the API.
    pub fn with_upload_prefix(self, prefix: &str) -> Result<Self, ConfigError> {
        Ok(Self { upload_prefix: parse_prefix(UPLOAD_PREFIX, prefix)?, ..self })
    }

    /// Sends larger files in chunks of this many bytes; 0 counts as 1. For the sake of tests it may be smaller than
    /// Cloudinary accepts.
    pub fn with_chunk_size(self, bytes: u64) -> Self {
        Self { chunk_size: bytes.max(1), ..self }
    }

    /// Limits a request to `base` plus a second for every `min_rate` bytes of its file; 0 counts as 1.
    pub fn with_timeout(self, base: Duration, min_rate: u64) -> Self {
        Self { timeout: base, min_rate: min_rate.max(1), ..self }
    }

    /// Sets the hash that requests are signed with.
    pub fn with_algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// Where the API is.
    pub fn upload_prefix(&self) -> &Url {
        &self.upload_prefix
    }

    /// The size of chunks. Larger files are sent in chunks.
    pub fn chunk_size(&self) -> u64 {
        self.chunk_size
    }

    /// The limit for a request with a file of this length.
    pub(crate) fn timeout_for(&self, bytes: u64) -> Duration {
        self.timeout.saturating_add(Duration::from_millis(bytes.saturating_mul(1000) / self.min_rate.max(1)))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("cloud_name", &self.cloud_name)
            .field("upload_prefix", &self.upload_prefix.as_str())
            .field("algorithm", &self.algorithm)
            .field("chunk_size", &self.chunk_size)
            .field("timeout", &self.timeout)
            .field("min_rate", &self.min_rate)
            .finish_non_exhaustive()
    }
}

impl TryFrom<CloudinaryArgs> for Config {
    type Error = ConfigError;

    fn try_from(args: CloudinaryArgs) -> Result<Self, ConfigError> {
        let set = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let secret = |value: &Option<SecretString>| {
            value.as_ref().map(|value| value.expose_secret().to_owned()).filter(|value| !value.is_empty())
        };
        let parts = [
            (CLOUD_NAME, set(&args.cloudinary_cloud_name)),
            (API_KEY, secret(&args.cloudinary_api_key)),
            (API_SECRET, secret(&args.cloudinary_api_secret)),
        ];
        let prefix = set(&args.cloudinary_upload_prefix);

        let mut config = match secret(&args.cloudinary_url) {
            Some(url) => {
                let (config, prefix_in_url) = parse_url(&url)?;
                let inside = [&config.cloud_name, &config.api_key, config.api_secret.expose_secret()];
                for ((variable, value), inside) in parts.iter().zip(inside) {
                    if value.as_ref().is_some_and(|value| value != inside) {
                        return Err(refused(variable, AGREED));
                    }
                }
                if let (true, Some(prefix)) = (prefix_in_url, &prefix)
                    && parse_prefix(UPLOAD_PREFIX, prefix)? != config.upload_prefix
                {
                    return Err(refused(UPLOAD_PREFIX, AGREED));
                }
                config
            }
            None => match &parts {
                [(_, None), (_, None), (_, None)] => return Err(refused(URL, format!("{ACCOUNT}, or {SEPARATE}"))),
                [(_, Some(cloud)), (_, Some(key)), (_, Some(secret))] => Self::new(cloud, key, secret)?,
                [(missing, None), ..] | [_, (missing, None), _] | [.., (missing, _)] => {
                    return Err(refused(missing, format!("a value, because {SEPARATE} belong together")));
                }
            },
        };
        if let Some(prefix) = prefix {
            config = config.with_upload_prefix(&prefix)?;
        }
        if let Some(bytes) = set(&args.cloudinary_chunk_size) {
            config.chunk_size = parse_chunk_size(CHUNK_SIZE, &bytes)?;
        }
        if let Some(seconds) = set(&args.cloudinary_timeout) {
            config.timeout = parse_timeout(TIMEOUT, &seconds)?;
        }
        if let Some(rate) = set(&args.cloudinary_min_rate) {
            let expected = "a whole number of bytes a second, at least 1";
            config.min_rate = number(1..)(&rate).map_err(|_| refused(MIN_RATE, expected))?;
        }
        if let Some(name) = set(&args.cloudinary_signature_algorithm) {
            config.algorithm = parse_algorithm(SIGNATURE_ALGORITHM, &name)?;
        }
        Ok(config)
    }
}

/// Reads `cloudinary://<key>:<secret>@<cloud>[/<delivery host>][?<options>]`, and whether it names an upload prefix.
/// Like official SDKs it does not percent-decode key and secret. What concerns delivery is ignored.
fn parse_url(url: &str) -> Result<(Config, bool), ConfigError> {
    let scheme_end = "cloudinary://".len();
    let rest = match url.split_at_checked(scheme_end) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("cloudinary://") => rest,
        _ => return Err(refused(URL, ACCOUNT)),
    };
    let (account, options) = rest.split_once('?').unwrap_or((rest, ""));
    let parts = account.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?, host)));
    let Some(((key, secret), host)) = parts else {
        return Err(refused(URL, ACCOUNT));
    };
    let cloud_name = host.split_once('/').map_or(host, |(cloud, _)| cloud);
    // The values come from this variable, not from those that `new` names.
    let mut config = Config::new(cloud_name, key, secret).map_err(|error| match error {
        ConfigError::Setting(error) => refused(URL, error.expected),
        other => other,
    })?;
    let mut names_prefix = false;
    for (option, value) in url::form_urlencoded::parse(options.as_bytes()) {
        match option.as_ref() {
            "upload_prefix" => {
                config.upload_prefix = parse_prefix(URL, &value)?;
                names_prefix = true;
            }
            "signature_algorithm" => config.algorithm = parse_algorithm(URL, &value)?,
            "chunk_size" => config.chunk_size = parse_chunk_size(URL, &value)?,
            "timeout" => config.timeout = parse_timeout(URL, &value)?,
            _ => {}
        }
    }
    Ok((config, names_prefix))
}

fn checked(
    variable: &'static str,
    value: &str,
    allowed: fn(char) -> bool,
    expected: &'static str,
) -> Result<String, ConfigError> {
    if value.is_empty() || !value.chars().all(allowed) {
        return Err(refused(variable, expected));
    }
    Ok(value.to_owned())
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// Quotes from an env file or the brackets of a placeholder would only show as "Invalid Signature" later.
fn is_credential(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '`' | '<' | '>')
}

fn parse_prefix(variable: &'static str, text: &str) -> Result<Url, ConfigError> {
    let expected = "an upload prefix such as https://api.cloudinary.com, without query or user";
    let usable = |url: &Url| {
        let plain = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && plain && url.query().is_none() && url.fragment().is_none()
    };
    Url::parse(text).ok().filter(usable).ok_or_else(|| refused(variable, expected))
}

fn parse_algorithm(variable: &'static str, name: &str) -> Result<Algorithm, ConfigError> {
    match name {
        "sha1" => Ok(Algorithm::Sha1),
        "sha256" => Ok(Algorithm::Sha256),
        _ => Err(refused(variable, "sha1 or sha256 as the signature algorithm")),
    }
}

fn parse_chunk_size(variable: &'static str, text: &str) -> Result<u64, ConfigError> {
    let expected = format!("a chunk size in bytes, from {MIN_CHUNK_SIZE} to {MAX_CHUNK_SIZE}");
    number(MIN_CHUNK_SIZE..=MAX_CHUNK_SIZE)(text).map_err(|_| refused(variable, expected))
}

fn parse_timeout(variable: &'static str, text: &str) -> Result<Duration, ConfigError> {
    let expected = "a time-out above 0, written like 30s or 2m";
    duration(MILLISECOND..)(text).map_err(|_| refused(variable, expected))
}

#[cfg(test)]
mod tests;
