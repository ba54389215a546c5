//! Settings of passwords, tokens and sessions.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use program::{ConfigError, MILLISECOND, SECOND, duration, number};
use secrecy::{ExposeSecret, SecretString};

/// The fewest bytes of a token secret: as many as HS256's output has (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// The fewest different ones: of 32 random hexadecimal digits fewer are once in tens of millions of times.
const MIN_DIFFERENT_BYTES: usize = 8;
const A_SECRET: &str = "a secret of at least 32 bytes, such as `openssl rand -hex 32` prints";
/// What a development run signs with: known to whoever can read this.
const DEVELOPMENT: [&str; 2] = ["only-for-development-0123456789abcdef", "only-for-development-fedcba9876543210"];

#[derive(Debug, Clone, clap::Args)]
pub struct SignIn {
    /// Signs access tokens; at least 32 bytes
    #[arg(long, env = "ACCESS_TOKEN_SECRET", hide_env_values = true, value_name = "SECRET", value_parser = secret,
          default_value_if("steep_env", "development", DEVELOPMENT[0]))]
    pub access_token_secret: Option<SecretString>,

    /// The secret before that one: signs nothing, but its tokens are accepted
    #[arg(long, env = "ACCESS_TOKEN_SECRET_PREVIOUS", hide_env_values = true, value_name = "SECRET",
          value_parser = previous)]
    pub access_token_secret_previous: Option<SecretString>,

    /// How long an access token is valid
    #[arg(long, env = "ACCESS_TOKEN_EXPIRY", value_name = "DURATION", default_value = "15m",
          value_parser = duration(MILLISECOND..))]
    pub access_token_expiry: Duration,

    /// Signs refresh tokens; at least 32 bytes
    #[arg(long, env = "REFRESH_TOKEN_SECRET", hide_env_values = true, value_name = "SECRET", value_parser = secret,
          default_value_if("steep_env", "development", DEVELOPMENT[1]))]
    pub refresh_token_secret: Option<SecretString>,

    /// The secret before that one: signs nothing, but its tokens are accepted
    #[arg(long, env = "REFRESH_TOKEN_SECRET_PREVIOUS", hide_env_values = true, value_name = "SECRET",
          value_parser = previous)]
    pub refresh_token_secret_previous: Option<SecretString>,

    /// How long a session lasts without being used
    #[arg(long, env = "REFRESH_TOKEN_EXPIRY", value_name = "DURATION", default_value = "10d",
          value_parser = duration(MILLISECOND..))]
    pub refresh_token_expiry: Duration,

    /// For how long a replaced refresh token is answered with its successor; 0s: not at all
    #[arg(long, env = "REFRESH_TOKEN_GRACE", value_name = "DURATION", default_value = "30s",
          value_parser = duration(..))]
    pub refresh_token_grace: Duration,

    /// How long a session lasts at the most
    #[arg(long, env = "SESSION_MAX_AGE", value_name = "DURATION", default_value = "90d",
          value_parser = duration(MILLISECOND..))]
    pub session_max_age: Duration,

    /// Failed sign-ins from one address
    #[arg(long, env = "LOGIN_LIMIT_ADDRESS", value_name = "LIMIT", default_value = "100/15m")]
    pub login_limit_address: AttemptLimit,

    /// Failed sign-ins to one account from one address; wrong old passwords of one user
    #[arg(long, env = "LOGIN_LIMIT_ACCOUNT", value_name = "LIMIT", default_value = "10/15m")]
    pub login_limit_account: AttemptLimit,

    /// Failed sign-ins to one account from all addresses together that it was never used from
    #[arg(long, env = "LOGIN_LIMIT_STRANGERS", value_name = "LIMIT", default_value = "100/15m")]
    pub login_limit_strangers: AttemptLimit,

    /// When a failed sign-in is answered, whatever was wrong with it; 0s: as soon as that is known
    #[arg(long, env = "LOGIN_REFUSAL_TIME", value_name = "DURATION", default_value = "250ms",
          value_parser = duration(..))]
    pub login_refusal_time: Duration,

    /// Registrations from one address
    #[arg(long, env = "REGISTER_LIMIT_ADDRESS", value_name = "LIMIT", default_value = "60/1h")]
    pub register_limit_address: AttemptLimit,

    // `None` is nothing between two commas.
    /// Proxies that say in X-Forwarded-For where a client is: addresses and networks, separated by commas
    #[arg(long, env = "TRUSTED_PROXIES", value_name = "NETWORKS", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<Option<IpNet>>,

    /// Threads that hash passwords; by default half as many as there are cores
    #[arg(long, env = "PASSWORD_THREADS", value_name = "COUNT", value_parser = number::<usize>(1..))]
    pub password_threads: Option<usize>,

    /// Passwords that may wait for one of them; of more, one of the address with the most is refused
    #[arg(long, env = "PASSWORD_QUEUE", value_name = "COUNT", default_value_t = 64,
          value_parser = number::<usize>(1..))]
    pub password_queue: usize,
}

impl SignIn {
    pub(crate) fn access_token_secret(&self) -> Result<&SecretString, ConfigError> {
        self.access_token_secret.as_ref().ok_or_else(|| ConfigError::new("ACCESS_TOKEN_SECRET", A_SECRET))
    }

    pub(crate) fn refresh_token_secret(&self) -> Result<&SecretString, ConfigError> {
        self.refresh_token_secret.as_ref().ok_or_else(|| ConfigError::new("REFRESH_TOKEN_SECRET", A_SECRET))
    }

    pub(crate) fn proxies(&self) -> impl Iterator<Item = IpNet> {
        self.trusted_proxies.iter().flatten().copied()
    }

    /// Checks what no secret tells by itself: that nobody knows it, and that each kind of token has its own. A token of one kind is
    /// no token of the other either way, but one leak would then be two.
    pub(super) fn check_secrets(&self, is_development: bool) -> Result<(), ConfigError> {
        let access = [
            ("ACCESS_TOKEN_SECRET", self.access_token_secret()?.expose_secret()),
            ("ACCESS_TOKEN_SECRET_PREVIOUS", text_of(self.access_token_secret_previous.as_ref())),
        ];
        let refresh = [
            ("REFRESH_TOKEN_SECRET", self.refresh_token_secret()?.expose_secret()),
            ("REFRESH_TOKEN_SECRET_PREVIOUS", text_of(self.refresh_token_secret_previous.as_ref())),
        ];
        let is_known = |secret: &str| !is_development && DEVELOPMENT.contains(&secret);
        let is_of_access = |secret: &str| !secret.is_empty() && access.iter().any(|(_, access)| *access == secret);
        if let Some((variable, _)) = access.iter().chain(&refresh).find(|(_, secret)| is_known(secret)) {
            return Err(ConfigError::new(variable, format!("{A_SECRET}, and not that of development")));
        }
        if let Some((variable, _)) = refresh.iter().find(|(_, secret)| is_of_access(secret)) {
            return Err(ConfigError::new(variable, format!("{A_SECRET}, and not that of access tokens")));
        }
        Ok(())
    }

    /// More threads would not sign in more people while others are busy, and would take the cores from everybody else.
    pub(crate) fn password_threads(&self) -> usize {
        let half_of_the_cores = || std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
        self.password_threads.unwrap_or_else(half_of_the_cores)
    }
}

/// So many attempts in a window of time, as in `10/15m`; or as many as anybody likes: `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptLimit(pub(crate) Option<(u32, Duration)>);

impl FromStr for AttemptLimit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected attempts and a time, such as 10/15m, or off";
        if text == "off" {
            return Ok(Self(None));
        }
        let (attempts, window) = text.split_once('/').ok_or(EXPECTED)?;
        let attempts: NonZeroU32 = attempts.parse().map_err(|_| EXPECTED)?;
        let window = duration(SECOND..)(window).map_err(|_| EXPECTED)?;
        Ok(Self(Some((attempts.get(), window))))
    }
}

/// A secret that is not set is an empty one.
fn text_of(secret: Option<&SecretString>) -> &str {
    secret.map_or("", ExposeSecret::expose_secret)
}

/// Long enough, and not the same few characters again and again.
fn secret(text: &str) -> Result<SecretString, String> {
    let bytes = text.trim().as_bytes();
    let different: HashSet<&u8> = bytes.iter().collect();
    match bytes.len() >= MIN_SECRET_BYTES && different.len() >= MIN_DIFFERENT_BYTES {
        true => Ok(text.into()),
        false => Err(format!("expected {A_SECRET}")),
    }
}

/// A secret that is on its way out. Empty is none: so it can stay in a file once it is gone.
fn previous(text: &str) -> Result<SecretString, String> {
    if text.is_empty() { Ok(text.into()) } else { secret(text) }
}

fn network(text: &str) -> Result<Option<IpNet>, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let network = text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    network.map(Some).map_err(|_| "expected addresses and networks such as 10.0.0.1,10.1.0.0/16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_attempts_in_a_time_or_off() {
        assert_eq!("10/15m".parse(), Ok(AttemptLimit(Some((10, Duration::from_secs(900))))));
        assert_eq!("off".parse(), Ok(AttemptLimit(None)));
        for text in ["", "10", "0/1m", "-1/1m", "10/", "/1m", "10/0s", "10/5ms", "ten/1m"] {
            assert!(text.parse::<AttemptLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_no_proxy() {
        for text in ["proxy.example.com", "10.0.0.0/33", "10.0.0", "*"] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
