//! Settings: the account, the address of the API, and limits.

use std::time::Duration;

use program::{ConfigError, MILLISECOND, duration, number};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::signature::Algorithm;

const DEFAULT_PREFIX: &str = "https://api.cloudinary.com";
/// Cloudinary refuses smaller chunks, the last one excepted.
const MIN_CHUNK_SIZE: u64 = 5 * 1024 * 1024;
/// Cloudinary refuses requests of more than 100 MB, and the fields around the file need room.
const MAX_CHUNK_SIZE: u64 = 99_000_000;

const URL: &str = "CLOUDINARY_URL";
const CLOUD_NAME: &str = "CLOUDINARY_CLOUD_NAME";
const API_KEY: &str = "CLOUDINARY_API_KEY";
const API_SECRET: &str = "CLOUDINARY_API_SECRET";
const UPLOAD_PREFIX: &str = "CLOUDINARY_UPLOAD_PREFIX";
const CHUNK_SIZE: &str = "CLOUDINARY_CHUNK_SIZE";
const TIMEOUT: &str = "CLOUDINARY_TIMEOUT";
const MIN_RATE: &str = "CLOUDINARY_MIN_RATE";
const SIGNATURE_ALGORITHM: &str = "CLOUDINARY_SIGNATURE_ALGORITHM";
const NOTIFICATION_URL: &str = "CLOUDINARY_NOTIFICATION_URL";

// What settings are expected to hold.
const ACCOUNT: &str = "cloudinary://<api_key>:<api_secret>@<cloud_name>";
const SEPARATE: &str = "CLOUDINARY_CLOUD_NAME, CLOUDINARY_API_KEY and CLOUDINARY_API_SECRET";
const AGREED: &str = "nothing, or what CLOUDINARY_URL says: official SDKs disagree about which of them counts";

/// The options of a program that talks to Cloudinary.
///
/// A [`Config`] comes of all of them together: an empty value counts as none, and what is not set may stand in the URL.
/// A program that has no use for Cloudinary this time does not ask for it.
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

    /// Whom it is to tell of our uploads and deletions: the api's /api/v1/webhooks/cloudinary
    #[arg(long, env = NOTIFICATION_URL, value_name = "URL")]
    pub cloudinary_notification_url: Option<String>,
}

/// The settings of a client. Its `Debug` shows neither key nor secret.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) cloud_name: String,
    pub(crate) api_key: SecretString,
    pub(crate) api_secret: SecretString,
    /// The http or https address of the API.
    pub upload_prefix: Url,
    /// The hash that requests are signed with.
    pub algorithm: Algorithm,
    /// Larger files are sent in chunks of this many bytes; 0 counts as 1. For the sake of tests it may be smaller than
    /// Cloudinary accepts.
    pub chunk_size: u64,
    /// The limit of a request, to which a second comes for every `min_rate` bytes of its file.
    pub timeout: Duration,
    /// In bytes a second; 0 counts as 1.
    pub min_rate: u64,
    /// Whom Cloudinary is to [notify](crate::notification) of what we ask it to do. `None`: nobody but those whom its console names.
    pub notification_url: Option<Url>,
}

impl Config {
    /// An account at Cloudinary itself, all else as by default. Errors name the separate variables.
    pub fn new(cloud_name: &str, api_key: &str, api_secret: &str) -> Result<Self, ConfigError> {
        Self::of_account([(CLOUD_NAME, cloud_name), (API_KEY, api_key), (API_SECRET, api_secret)])
    }

    /// From the account's parts, each with the variable that it came from.
    fn of_account([cloud_name, api_key, api_secret]: [(&'static str, &str); 3]) -> Result<Self, ConfigError> {
        let name = checked(cloud_name, is_name, "a cloud name of letters, digits, - and _")?;
        let key = checked(api_key, is_credential, "an API key without spaces, quotes or brackets")?;
        let secret = checked(api_secret, is_credential, "an API secret without spaces, quotes or brackets")?;
        Ok(Self {
            cloud_name: name.to_owned(),
            api_key: key.into(),
            api_secret: secret.into(),
            upload_prefix: parse_prefix(UPLOAD_PREFIX, DEFAULT_PREFIX)?,
            algorithm: Algorithm::default(),
            chunk_size: 20_000_000,
            timeout: Duration::from_secs(30),
            min_rate: 100_000,
            notification_url: None,
        })
    }

    /// Takes an option that the URL and a variable of its own may hold. Others are ignored: they concern delivery.
    fn set(&mut self, variable: &'static str, option: &str, value: &str) -> Result<(), ConfigError> {
        match option {
            "upload_prefix" => self.upload_prefix = parse_prefix(variable, value)?,
            "signature_algorithm" => {
                self.algorithm = match value {
                    "sha1" => Algorithm::Sha1,
                    "sha256" => Algorithm::Sha256,
                    _ => return Err(ConfigError::new(variable, "sha1 or sha256 as the signature algorithm")),
                }
            }
            "chunk_size" => {
                let expected = format!("a chunk size in bytes, from {MIN_CHUNK_SIZE} to {MAX_CHUNK_SIZE}");
                let size = number(MIN_CHUNK_SIZE..=MAX_CHUNK_SIZE)(value);
                self.chunk_size = size.map_err(|_| ConfigError::new(variable, expected))?;
            }
            "timeout" => {
                let expected = "a time-out above 0, written like 30s or 2m";
                self.timeout = duration(MILLISECOND..)(value).map_err(|_| ConfigError::new(variable, expected))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The signed field that asks for notifications, if somebody is to get them.
    pub(crate) fn notification_field(&self) -> Option<(&'static str, &str)> {
        Some(("notification_url", self.notification_url.as_ref()?.as_str()))
    }

    /// The limit for a request with a file of this length.
    pub(crate) fn timeout_for(&self, bytes: u64) -> Duration {
        self.timeout.saturating_add(Duration::from_millis(bytes.saturating_mul(1000) / self.min_rate.max(1)))
    }
}

impl TryFrom<CloudinaryArgs> for Config {
    type Error = ConfigError;

    fn try_from(args: CloudinaryArgs) -> Result<Self, ConfigError> {
        let set = |value: Option<String>| value.filter(|value| !value.is_empty());
        let secret = |value: Option<SecretString>| set(value.map(|value| value.expose_secret().to_owned()));
        let parts = [
            (CLOUD_NAME, set(args.cloudinary_cloud_name)),
            (API_KEY, secret(args.cloudinary_api_key)),
            (API_SECRET, secret(args.cloudinary_api_secret)),
        ];
        let prefix = set(args.cloudinary_upload_prefix);

        let mut config = match (secret(args.cloudinary_url), &parts) {
            (Some(url), _) => {
                let (config, prefix_in_url) = parse_url(&url)?;
                let inside = [&config.cloud_name, config.api_key.expose_secret(), config.api_secret.expose_secret()];
                for ((variable, value), inside) in parts.iter().zip(inside) {
                    if value.as_ref().is_some_and(|value| value != inside) {
                        return Err(ConfigError::new(variable, AGREED));
                    }
                }
                if let (true, Some(prefix)) = (prefix_in_url, &prefix)
                    && parse_prefix(UPLOAD_PREFIX, prefix)? != config.upload_prefix
                {
                    return Err(ConfigError::new(UPLOAD_PREFIX, AGREED));
                }
                config
            }
            (None, [(_, None), (_, None), (_, None)]) => {
                return Err(ConfigError::new(URL, format!("{ACCOUNT}, or {SEPARATE}")));
            }
            (None, [(_, Some(cloud)), (_, Some(key)), (_, Some(secret))]) => Self::new(cloud, key, secret)?,
            (None, [(missing, None), ..] | [_, (missing, None), _] | [.., (missing, _)]) => {
                return Err(ConfigError::new(missing, format!("a value, because {SEPARATE} belong together")));
            }
        };
        for (variable, option, value) in [
            (UPLOAD_PREFIX, "upload_prefix", prefix),
            (CHUNK_SIZE, "chunk_size", set(args.cloudinary_chunk_size)),
            (TIMEOUT, "timeout", set(args.cloudinary_timeout)),
            (SIGNATURE_ALGORITHM, "signature_algorithm", set(args.cloudinary_signature_algorithm)),
        ] {
            if let Some(value) = value {
                config.set(variable, option, &value)?;
            }
        }
        if let Some(rate) = set(args.cloudinary_min_rate) {
            let expected = "a whole number of bytes a second, at least 1";
            config.min_rate = number(1..)(&rate).map_err(|_| ConfigError::new(MIN_RATE, expected))?;
        }
        if let Some(url) = set(args.cloudinary_notification_url) {
            config.notification_url = Some(parse_notification_url(&url)?);
        }
        Ok(config)
    }
}

/// Reads `cloudinary://<key>:<secret>@<cloud>[/<delivery host>][?<options>]`, and whether it names an upload prefix.
/// Like official SDKs it does not percent-decode key and secret.
fn parse_url(url: &str) -> Result<(Config, bool), ConfigError> {
    let malformed = || ConfigError::new(URL, ACCOUNT);
    let scheme_end = "cloudinary://".len();
    let (scheme, rest) = url.split_at_checked(scheme_end).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("cloudinary://") {
        return Err(malformed());
    }
    let (account, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, host) = account.rsplit_once('@').ok_or_else(malformed)?;
    let (key, secret) = user.split_once(':').ok_or_else(malformed)?;
    let cloud_name = host.split_once('/').map_or(host, |(cloud, _)| cloud);
    let mut config = Config::of_account([(URL, cloud_name), (URL, key), (URL, secret)])?;
    let mut names_prefix = false;
    for (option, value) in url::form_urlencoded::parse(options.as_bytes()) {
        config.set(URL, &option, &value)?;
        names_prefix |= option == "upload_prefix";
    }
    Ok((config, names_prefix))
}

fn checked<'a>(
    (variable, value): (&'static str, &'a str),
    allowed: fn(char) -> bool,
    expected: &str,
) -> Result<&'a str, ConfigError> {
    if value.is_empty() || !value.chars().all(allowed) {
        return Err(ConfigError::new(variable, expected));
    }
    Ok(value)
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
    Url::parse(text).ok().filter(usable).ok_or_else(|| ConfigError::new(variable, expected))
}

/// Where Cloudinary sends to. A query may tell whose notifications they are; a user could not sign in there.
fn parse_notification_url(text: &str) -> Result<Url, ConfigError> {
    let expected =
        "an http or https address without user and fragment, such as https://api.example/api/v1/webhooks/cloudinary";
    let usable = |url: &Url| {
        let plain = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && plain && url.fragment().is_none()
    };
    Url::parse(text).ok().filter(usable).ok_or_else(|| ConfigError::new(NOTIFICATION_URL, expected))
}

#[cfg(test)]
mod tests;
