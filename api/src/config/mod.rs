//! Settings: every one is a flag and an environment variable.

mod http;
mod limits;
mod notifications;
mod sign_in;

use axum_extra::extract::cookie::SameSite;
use clap::{Parser, ValueEnum};
use program::ConfigError;
use secrecy::SecretString;

pub use http::Http;
pub(crate) use limits::SizeLimit;
pub use limits::{ExtraType, Limits};
pub use notifications::Notifications;
pub use sign_in::{AttemptLimit, SignIn};

const DEVELOPMENT_MONGODB_URI: &str = "mongodb://127.0.0.1:27017/?replicaSet=rs0";
/// What the database and the broker show as the name of this program.
pub(crate) const NAME: &str = "steep-api";

/// Where the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Environment {
    /// On a developer's machine: settings have defaults, and pages on http://localhost may call.
    Development,
    /// Anywhere else: what must be secret has no default.
    Production,
}

// No doc comments on flattened fields: they would replace the program's own in its help.
#[derive(Debug, Clone, Parser)]
#[command(name = "api", version)]
// Its group would have the same name as that of the broker's `Config`.
#[group(skip)]
pub struct Config {
    /// development: settings have defaults. production: secrets have none
    #[arg(long, env = "STEEP_ENV", value_enum, default_value = "production")]
    pub steep_env: Environment,

    #[command(flatten)]
    pub http: Http,

    #[command(flatten, next_help_heading = "Sign-in")]
    pub sign_in: SignIn,

    #[command(flatten, next_help_heading = "Limits")]
    pub limits: Limits,

    #[command(flatten, next_help_heading = "Spool")]
    pub spool: spool::SpoolArgs,

    #[command(flatten, next_help_heading = "MongoDB")]
    pub store: store::Config,

    #[command(flatten, next_help_heading = "RabbitMQ")]
    pub broker: broker::Config,

    #[command(flatten, next_help_heading = "Webhooks")]
    pub reach: outbound::Reach,
    #[command(flatten, next_help_heading = "Cloudinary")]
    pub notifications: Notifications,
}

impl Config {
    pub(crate) fn is_development(&self) -> bool {
        self.steep_env == Environment::Development
    }

    /// Checks what no single setting tells.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.http.cookie_same_site == SameSite::None && !self.http.is_secure() {
            let expected = "lax or strict, or none with a PUBLIC_URL that begins with https:";
            return Err(ConfigError::new("COOKIE_SAME_SITE", expected));
        }
        self.sign_in.check_secrets(self.is_development())
    }

    pub(crate) fn store(&self) -> Result<store::Config, store::Error> {
        let mut store = self.store.clone();
        if self.is_development() {
            store.uri.get_or_insert_with(|| SecretString::from(DEVELOPMENT_MONGODB_URI));
        }
        store.check(NAME)
    }
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
            ("--upload-max-pixels=0", "UPLOAD_MAX_PIXELS"),
            ("--media-extra-types=svg,exe", "MEDIA_EXTRA_TYPES"),
            ("--keep-metadata=perhaps", "KEEP_METADATA"),
            ("--spool-id=A_B", "SPOOL_ID"),
            ("--rabbitmq-heartbeat=0", "RABBITMQ_HEARTBEAT"),
        ] {
            let error = Config::try_parse_from(["api", argument]).expect_err(argument);
            let line = program::explain::<Config>(&error);
            assert!(line.starts_with(&format!("{variable}: expected")), "{argument}: {line}");
        }
    }

    #[test]
    fn what_was_read_before_is_read_as_before() {
        let config = Config::try_parse_from([
            "api",
            "--access-token-expiry=90",
            "--refresh-token-expiry=10 d",
            "--refresh-token-grace=0",
            "--session-max-age=2w",
            "--login-refusal-time=0s",
            "--trusted-proxies=10.0.0.1, 10.1.0.0/16,",
            "--trusted-proxies=",
            "--cors-origin=https://a.example.com/, *,",
            "--media-extra-types=",
            "--media-extra-types=svg, pdf,",
            "--public-url=https://api.example.com/base/",
        ]);
        let config = config.expect("settings");
        let seconds = |time: std::time::Duration| time.as_secs();
        assert_eq!(seconds(config.sign_in.access_token_expiry), 90);
        assert_eq!(seconds(config.sign_in.refresh_token_expiry), 864_000);
        assert_eq!(seconds(config.sign_in.refresh_token_grace), 0);
        assert_eq!(seconds(config.sign_in.session_max_age), 1_209_600);
        assert_eq!(config.sign_in.trusted_proxies.iter().flatten().count(), 2);
        assert_eq!(config.limits.media_extra_types.iter().flatten().count(), 2);
        assert_eq!(config.http.origins().collect::<Vec<_>>(), ["https://a.example.com", "*"]);
        assert_eq!(config.http.public_url.as_deref(), Some("https://api.example.com/base"));
    }

    #[test]
    fn an_address_has_an_eighth_of_the_connections_unless_told_otherwise() {
        for (arguments, expected) in [
            (&[][..], 512),
            (&["--max-connections=80"][..], 10),
            (&["--max-connections=7"][..], 1),
            (&["--max-connections=80", "--max-connections-address=30"][..], 30),
        ] {
            let config = Config::try_parse_from([&["api"][..], arguments].concat()).expect("settings");
            assert_eq!(config.http.max_connections_address(), expected, "{arguments:?}");
        }
    }
}
