//! Settings.

pub(crate) mod duration;
mod sign_in;

use std::net::IpAddr;
use std::time::Duration;

use axum_extra::extract::cookie::SameSite;
use clap::{Parser, ValueEnum};
use secrecy::SecretString;
use url::Url;

use crate::Pace;

pub use sign_in::{SignIn, SignInArgs, SignInLimits};

const DEVELOPMENT_MONGODB_URI: &str = "mongodb://127.0.0.1:27017/?replicaSet=rs0";

/// Where the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Environment {
    /// On a developer's machine: settings have defaults, and pages on http://localhost may call.
    Development,
    /// Anywhere else: what must be secret has no default.
    Production,
}

/// With which requests from pages on other sites browsers send the session's cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CookieSameSite {
    /// With those by which a page is opened that only read.
    Lax,
    /// With none.
    Strict,
    /// With all of them, for front ends on another site; browsers keep such cookies only if they are `Secure`.
    None,
}

impl From<CookieSameSite> for SameSite {
    fn from(setting: CookieSameSite) -> Self {
        match setting {
            CookieSameSite::Lax => Self::Lax,
            CookieSameSite::Strict => Self::Strict,
            CookieSameSite::None => Self::None,
        }
    }
}

/// Every setting of the program, as a flag and an environment variable.
#[derive(Debug, Clone, Parser)]
#[command(name = "api", version)]
pub struct Args {
    /// development: settings have defaults. production: secrets have none
    #[arg(long, env = "STEEP_ENV", value_enum, default_value = "production")]
    pub steep_env: Environment,

    /// Address to listen on; by default every one, in development only this machine's
    #[arg(long, env = "HOST", value_name = "ADDRESS", value_parser = parse_address)]
    pub host: Option<IpAddr>,

    /// Port to listen on; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 8000, value_parser = parse_port)]
    pub port: u16,

    /// Address at which clients reach this program; by default http://localhost with the port
    #[arg(long, env = "PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,

    /// Origins whose pages may call with credentials, separated by commas
    #[arg(long, env = "CORS_ORIGIN", value_name = "ORIGINS", value_delimiter = ',')]
    pub cors_origin: Vec<String>,

    /// With which requests from pages on other sites browsers send the session's cookies; none requires https
    #[arg(long, env = "COOKIE_SAME_SITE", value_enum, default_value = "lax")]
    pub cookie_same_site: CookieSameSite,

    /// How long a client may take for the head of a request, and stay silent between two
    #[arg(long, env = "REQUEST_HEAD_TIMEOUT", value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    pub request_head_timeout: Duration,

    /// How long requests may go on after the signal to stop
    #[arg(long, env = "SHUTDOWN_TIMEOUT", value_name = "DURATION", default_value = "25s", value_parser = duration::parse)]
    pub shutdown_timeout: Duration,

    /// Most connections at a time; more wait to be accepted
    #[arg(long, env = "MAX_CONNECTIONS", value_name = "COUNT", default_value_t = 4096, value_parser = parse_count)]
    pub max_connections: usize,

    #[command(flatten, next_help_heading = "Sign-in")]
    #[allow(missing_docs, reason = "a doc comment here would replace the program's own in its help")]
    pub sign_in: SignInArgs,

    #[command(flatten, next_help_heading = "Limits")]
    #[allow(missing_docs, reason = "as above")]
    pub limits: Limits,

    #[command(flatten, next_help_heading = "Spool")]
    #[allow(missing_docs, reason = "as above")]
    pub spool: spool::SpoolArgs,

    #[command(flatten, next_help_heading = "MongoDB")]
    #[allow(missing_docs, reason = "as above")]
    pub store: store::StoreArgs,

    #[command(flatten, next_help_heading = "RabbitMQ")]
    #[allow(missing_docs, reason = "as above")]
    pub broker: broker::Config,
}

/// What a client may send, and when it is told to wait.
#[derive(Debug, Clone, clap::Args)]
pub struct Limits {
    /// Largest avatar in bytes
    #[arg(long, env = "AVATAR_MAX_BYTES", value_name = "BYTES", default_value_t = 10 * 1024 * 1024)]
    pub avatar_max_bytes: u64,

    /// Largest cover image in bytes
    #[arg(long, env = "COVER_IMAGE_MAX_BYTES", value_name = "BYTES", default_value_t = 10 * 1024 * 1024)]
    pub cover_image_max_bytes: u64,

    /// Largest other image or video in bytes
    #[arg(long, env = "MEDIA_MAX_BYTES", value_name = "BYTES", default_value_t = 1024 * 1024 * 1024)]
    pub media_max_bytes: u64,

    /// Unfinished uploads that a user may have; more are refused with 429
    #[arg(long, env = "USER_MAX_UNFINISHED", value_name = "COUNT", default_value_t = 100)]
    pub user_max_unfinished: u64,

    /// Jobs that may wait to be published; uploads are refused with 503 above it
    #[arg(long, env = "MAX_BACKLOG", value_name = "COUNT", default_value_t = 100_000)]
    pub max_backlog: u64,

    /// Bytes that stay free on the spool's disk; uploads that would go below are refused with 507
    #[arg(long, env = "SPOOL_MIN_FREE", value_name = "BYTES", default_value_t = 512 * 1024 * 1024)]
    pub spool_min_free: u64,

    /// Longest silence of a client that uploads
    #[arg(long, env = "UPLOAD_IDLE_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub upload_idle_timeout: Duration,

    /// Bytes a second that a client must send on average, after its first 30 seconds
    #[arg(long, env = "UPLOAD_MIN_RATE", value_name = "BYTES", default_value_t = 4096)]
    pub upload_min_rate: u64,
}

impl Limits {
    /// How slowly a client may upload.
    pub fn pace(&self) -> Pace {
        Pace { idle: self.upload_idle_timeout, min_rate: self.upload_min_rate, grace: self.upload_idle_timeout }
    }
}

/// Settings that have been checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the program runs.
    pub environment: Environment,
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Address at which clients reach this program, without a slash at the end. `None`: http://localhost with the port.
    pub public_url: Option<String>,
    /// Origins whose pages may call with credentials.
    pub cors_origins: Vec<String>,
    /// With which requests from pages on other sites browsers send the session's cookies.
    pub cookie_same_site: CookieSameSite,
    /// How long a client may take for the head of a request, and stay silent between two.
    pub request_head_timeout: Duration,
    /// How long requests may go on after the signal to stop.
    pub shutdown_timeout: Duration,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Passwords, tokens and sessions.
    pub sign_in: SignIn,
    /// What a client may send.
    pub limits: Limits,
    /// The spool.
    pub spool: spool::SpoolArgs,
    /// The database.
    pub store: store::Config,
    /// The broker.
    pub broker: broker::Config,
}

/// A setting that cannot work.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: expected {expected}")]
pub struct ConfigError {
    /// The environment variable.
    pub variable: &'static str,
    /// What would have been accepted.
    pub expected: String,
}

impl Config {
    /// Checks the settings and fills in what they leave open.
    ///
    /// # Errors
    ///
    /// The first setting that cannot work, by its environment variable; never with its value, which may be secret.
    pub fn from_args(mut args: Args) -> Result<Self, crate::Error> {
        let development = args.steep_env == Environment::Development;
        if development {
            args.store.mongodb_uri.get_or_insert_with(|| SecretString::from(DEVELOPMENT_MONGODB_URI));
        }
        let public_url = args.public_url.as_deref().map(public_url).transpose()?;
        let is_secure = public_url.as_deref().is_some_and(|url| url.starts_with("https:"));
        if args.cookie_same_site == CookieSameSite::None && !is_secure {
            return Err(ConfigError {
                variable: "COOKIE_SAME_SITE",
                expected: "lax or strict, or none with a PUBLIC_URL that begins with https:".to_owned(),
            }
            .into());
        }
        let default_host = if development { [127, 0, 0, 1] } else { [0, 0, 0, 0] };
        Ok(Self {
            environment: args.steep_env,
            host: args.host.unwrap_or(IpAddr::from(default_host)),
            port: args.port,
            public_url,
            cors_origins: origins(&args.cors_origin)?,
            cookie_same_site: args.cookie_same_site,
            request_head_timeout: args.request_head_timeout,
            shutdown_timeout: args.shutdown_timeout,
            max_connections: args.max_connections,
            sign_in: SignIn::from_args(args.sign_in, development)?,
            limits: args.limits,
            spool: args.spool,
            store: store::Config::from_args(args.store, "steep-api")?,
            broker: args.broker.named("steep-api"),
        })
    }
}

fn public_url(text: &str) -> Result<String, ConfigError> {
    let usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    };
    match Url::parse(text).ok().filter(usable) {
        Some(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
        None => Err(ConfigError {
            variable: "PUBLIC_URL",
            expected: "an http or https address without query, such as https://api.example.com".to_owned(),
        }),
    }
}

/// Origins as browsers send them. `*`, which the original's sample has, stands for any origin without credentials.
fn origins(given: &[String]) -> Result<Vec<String>, ConfigError> {
    let mut origins = Vec::new();
    for text in given.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        let origin = match text {
            "*" => Some("*".to_owned()),
            text => Url::parse(text)
                .ok()
                .map(|url| url.origin())
                .filter(url::Origin::is_tuple)
                .map(|o| o.ascii_serialization()),
        };
        origins.push(origin.ok_or_else(|| ConfigError {
            variable: "CORS_ORIGIN",
            expected: "origins such as https://app.example.com, separated by commas".to_owned(),
        })?);
    }
    Ok(origins)
}

fn parse_address(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "expected an IP address such as 127.0.0.1 or 0.0.0.0")
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| "expected a port from 0 to 65535")
}

fn parse_count(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|count| *count > 0).ok_or("expected a number of at least 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_cannot_be_read_is_explained_by_what_was_expected() {
        for (argument, variable) in [
            ("--port=http", "PORT"),
            ("--port=70000", "PORT"),
            ("--host=x", "HOST"),
            ("--steep-env=staging", "STEEP_ENV"),
            ("--cookie-same-site=off", "COOKIE_SAME_SITE"),
            ("--request-head-timeout=0s", "REQUEST_HEAD_TIMEOUT"),
            ("--access-token-expiry=soon", "ACCESS_TOKEN_EXPIRY"),
            ("--refresh-token-grace=1 fortnight", "REFRESH_TOKEN_GRACE"),
            ("--login-limit-account=many", "LOGIN_LIMIT_ACCOUNT"),
            ("--login-refusal-time=-1s", "LOGIN_REFUSAL_TIME"),
            ("--avatar-max-bytes=10MB", "AVATAR_MAX_BYTES"),
            ("--spool-id=A_B", "SPOOL_ID"),
            ("--rabbitmq-heartbeat=0", "RABBITMQ_HEARTBEAT"),
        ] {
            let error = Args::try_parse_from(["api", argument]).expect_err(argument);
            let line = program::explain::<Args>(&error);
            assert!(line.starts_with(&format!("{variable}: expected")), "{argument}: {line}");
        }
    }
}
