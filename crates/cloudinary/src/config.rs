//! Where Cloudinary is and who we are there.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::signature::Algorithm;

const DEFAULT_PREFIX: &str = "https://api.cloudinary.com";
const DEFAULT_CHUNK_SIZE: u64 = 20_000_000;
/// Cloudinary refuses smaller chunks, the last one excepted.
const MIN_CHUNK_SIZE: u64 = 5 * 1024 * 1024;
/// Cloudinary refuses requests of more than 100 MB; the fields around the file need some room.
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

/// The options of a program that talks to Cloudinary. An empty value counts as none.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Cloudinary")]
pub struct CloudinaryArgs {
    /// Account in one address: `cloudinary://<api_key>:<api_secret>@<cloud_name>`; `?upload_prefix=`, `signature_algorithm=`,
    /// `chunk_size=` and `timeout=` may follow
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

    /// Seconds that a request may take, besides the time its bytes need [default: 30]
    #[arg(long, env = TIMEOUT, value_name = "SECONDS")]
    pub cloudinary_timeout: Option<String>,

    /// Bytes a second below which a transfer counts as stuck [default: 100000]
    #[arg(long, env = MIN_RATE, value_name = "BYTES")]
    pub cloudinary_min_rate: Option<String>,

    /// Hash that requests are signed with: sha1 or sha256 [default: sha1]
    #[arg(long, env = SIGNATURE_ALGORITHM, value_name = "NAME")]
    pub cloudinary_signature_algorithm: Option<String>,
}

/// Why there is no [`Config`] or no client. The text names the variable and what it should hold, never the value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nothing is set.
    #[error(
        "Cloudinary is not configured: set {URL} (cloudinary://<api_key>:<api_secret>@<cloud_name>), \
         or {CLOUD_NAME}, {API_KEY} and {API_SECRET}"
    )]
    Missing,
    /// Some of the three separate variables are set.
    #[error("{missing} is not set: {CLOUD_NAME}, {API_KEY} and {API_SECRET} belong together")]
    Incomplete {
        /// The variable that is not.
        missing: &'static str,
    },
    /// A value cannot be right.
    #[error("{variable} is malformed: expected {expected}")]
    Malformed {
        /// Where it was read from.
        variable: &'static str,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// The same thing is said twice, and differently. Official SDKs disagree about which then counts.
    #[error("{URL} and {variable} differ: set one of them only")]
    Ambiguous {
        /// The variable that contradicts the URL.
        variable: &'static str,
    },
    /// The HTTP client cannot be set up, as without any root certificates.
    #[error("the HTTP client for Cloudinary cannot be set up: {0}")]
    Http(#[source] reqwest::Error),
}

/// A validated configuration. Its `Debug` shows neither key nor secret.
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
    /// An account at Cloudinary itself, with everything else as by default.
    ///
    /// # Errors
    ///
    /// As for the separate variables, which the error names.
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

    /// Talks to the API at another http or https address.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn with_upload_prefix(self, prefix: &str) -> Result<Self, ConfigError> {
        Ok(Self { upload_prefix: parse_prefix(UPLOAD_PREFIX, prefix)?, ..self })
    }

    /// Sends larger files in chunks of this many bytes. Not checked against Cloudinary's bounds (5 MiB to 100 MB), so that tests
    /// can do with small files; 0 counts as 1.
    pub fn with_chunk_size(self, bytes: u64) -> Self {
        Self { chunk_size: bytes.max(1), ..self }
    }

    /// Gives a request `base`, and one second more for every `min_rate` bytes of its file (0 counts as 1).
    pub fn with_timeout(self, base: Duration, min_rate: u64) -> Self {
        Self { timeout: base, min_rate: min_rate.max(1), ..self }
    }

    /// Signs requests with this hash.
    pub fn with_algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// The account.
    pub fn cloud_name(&self) -> &str {
        &self.cloud_name
    }

    /// Where the API is.
    pub fn upload_prefix(&self) -> &Url {
        &self.upload_prefix
    }

    /// The size of chunks, above which a file is cut into them.
    pub fn chunk_size(&self) -> u64 {
        self.chunk_size
    }

    /// How long a request with a file of this length may take.
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
                        return Err(ConfigError::Ambiguous { variable });
                    }
                }
                if let (true, Some(prefix)) = (prefix_in_url, &prefix)
                    && parse_prefix(UPLOAD_PREFIX, prefix)? != config.upload_prefix
                {
                    return Err(ConfigError::Ambiguous { variable: UPLOAD_PREFIX });
                }
                config
            }
            None => match &parts {
                [(_, None), (_, None), (_, None)] => return Err(ConfigError::Missing),
                [(_, Some(cloud)), (_, Some(key)), (_, Some(secret))] => Self::new(cloud, key, secret)?,
                [(missing, None), ..] | [_, (missing, None), _] | [.., (missing, _)] => {
                    return Err(ConfigError::Incomplete { missing });
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
            let malformed = ConfigError::Malformed { variable: MIN_RATE, expected };
            config.min_rate = rate.parse().ok().filter(|rate| *rate > 0).ok_or(malformed)?;
        }
        if let Some(name) = set(&args.cloudinary_signature_algorithm) {
            config.algorithm = parse_algorithm(SIGNATURE_ALGORITHM, &name)?;
        }
        Ok(config)
    }
}

/// Reads `cloudinary://<key>:<secret>@<cloud>[/<delivery host>][?<options>]`, and whether it names an upload prefix. Key and
/// secret are taken as they are, since official SDKs do not percent-decode them either; the delivery host and options that
/// concern delivery do not matter here.
fn parse_url(url: &str) -> Result<(Config, bool), ConfigError> {
    let malformed = |expected| ConfigError::Malformed { variable: URL, expected };
    let scheme_end = "cloudinary://".len();
    let rest = match url.split_at_checked(scheme_end) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("cloudinary://") => rest,
        _ => return Err(malformed("cloudinary://<api_key>:<api_secret>@<cloud_name>")),
    };
    let (account, options) = rest.split_once('?').unwrap_or((rest, ""));
    let parts = account.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?, host)));
    let Some(((key, secret), host)) = parts else {
        return Err(malformed("cloudinary://<api_key>:<api_secret>@<cloud_name>"));
    };
    let cloud_name = host.split_once('/').map_or(host, |(cloud, _)| cloud);
    // What `new` finds wrong was read from this variable, not from those it names.
    let mut config = Config::new(cloud_name, key, secret).map_err(|error| match error {
        ConfigError::Malformed { expected, .. } => malformed(expected),
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
        return Err(ConfigError::Malformed { variable, expected });
    }
    Ok(value.to_owned())
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// A quote that came along from an env file, or a placeholder's brackets, would show only as "Invalid Signature" later.
fn is_credential(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '`' | '<' | '>')
}

fn parse_prefix(variable: &'static str, text: &str) -> Result<Url, ConfigError> {
    let expected = "an upload prefix such as https://api.cloudinary.com, without query or user";
    let malformed = || ConfigError::Malformed { variable, expected };
    let url = Url::parse(text).map_err(|_| malformed())?;
    let plain =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !plain {
        return Err(malformed());
    }
    Ok(url)
}

fn parse_algorithm(variable: &'static str, name: &str) -> Result<Algorithm, ConfigError> {
    match name {
        "sha1" => Ok(Algorithm::Sha1),
        "sha256" => Ok(Algorithm::Sha256),
        _ => Err(ConfigError::Malformed { variable, expected: "sha1 or sha256 as the signature algorithm" }),
    }
}

fn parse_chunk_size(variable: &'static str, text: &str) -> Result<u64, ConfigError> {
    let expected = "a chunk size in bytes, from 5242880 to 99000000";
    let bytes = text.parse().ok().filter(|bytes| (MIN_CHUNK_SIZE..=MAX_CHUNK_SIZE).contains(bytes));
    bytes.ok_or(ConfigError::Malformed { variable, expected })
}

fn parse_timeout(variable: &'static str, text: &str) -> Result<Duration, ConfigError> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| *seconds > 0.0);
    let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    timeout.ok_or(ConfigError::Malformed { variable, expected: "a time-out in seconds, above 0" })
}

#[cfg(test)]
mod tests;
