//! Settings of passwords, tokens and sessions.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{ConfigError, duration, parse_count};
use crate::auth::{Limit, TrustedProxies};

/// The fewest bytes of a token secret: as many as HS256's output has (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// What a development run signs with unless told otherwise. Known to everybody.
const DEVELOPMENT_SECRET: &str = "only-for-development-0123456789abcdef";
const DEVELOPMENT_REFRESH_SECRET: &str = "only-for-development-fedcba9876543210";

/// Flags and variables.
#[derive(Debug, Clone, clap::Args)]
pub struct SignInArgs {
    /// Signs access tokens; at least 32 bytes
    #[arg(long, env = "ACCESS_TOKEN_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub access_token_secret: Option<SecretString>,

    /// The secret before that one: signs nothing, but its tokens are accepted
    #[arg(long, env = "ACCESS_TOKEN_SECRET_PREVIOUS", hide_env_values = true, value_name = "SECRET")]
    pub access_token_secret_previous: Option<SecretString>,

    /// How long an access token is valid
    #[arg(long, env = "ACCESS_TOKEN_EXPIRY", value_name = "DURATION", default_value = "15m", value_parser = duration::parse)]
    pub access_token_expiry: Duration,

    /// Signs refresh tokens; at least 32 bytes
    #[arg(long, env = "REFRESH_TOKEN_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub refresh_token_secret: Option<SecretString>,

    /// The secret before that one: signs nothing, but its tokens are accepted
    #[arg(long, env = "REFRESH_TOKEN_SECRET_PREVIOUS", hide_env_values = true, value_name = "SECRET")]
    pub refresh_token_secret_previous: Option<SecretString>,

    /// How long a session lasts without being used
    #[arg(long, env = "REFRESH_TOKEN_EXPIRY", value_name = "DURATION", default_value = "10d", value_parser = duration::parse)]
    pub refresh_token_expiry: Duration,

    /// For how long a refresh token that was replaced is answered with its successor; 0s: not at all
    #[arg(long, env = "REFRESH_TOKEN_GRACE", value_name = "DURATION", default_value = "30s", value_parser = duration::parse_or_zero)]
    pub refresh_token_grace: Duration,

    /// How long a session lasts at the most
    #[arg(long, env = "SESSION_MAX_AGE", value_name = "DURATION", default_value = "90d", value_parser = duration::parse)]
    pub session_max_age: Duration,

    /// Failed sign-ins from one address
    #[arg(long, env = "LOGIN_LIMIT_ADDRESS", value_name = "LIMIT", default_value = "100/15m", value_parser = Limit::parse)]
    pub login_limit_address: Limit,

    /// Failed sign-ins to one account from one address; wrong old passwords of one user
    #[arg(long, env = "LOGIN_LIMIT_ACCOUNT", value_name = "LIMIT", default_value = "10/15m", value_parser = Limit::parse)]
    pub login_limit_account: Limit,

    /// Failed sign-ins to one account from all addresses together that it was never used from
    #[arg(long, env = "LOGIN_LIMIT_STRANGERS", value_name = "LIMIT", default_value = "100/15m", value_parser = Limit::parse)]
    pub login_limit_strangers: Limit,

    /// Every failed sign-in is answered after this time, whatever was wrong with it; 0s: as soon as that is known
    #[arg(long, env = "LOGIN_REFUSAL_TIME", value_name = "DURATION", default_value = "250ms", value_parser = duration::parse_or_zero)]
    pub login_refusal_time: Duration,

    /// Registrations from one address
    #[arg(long, env = "REGISTER_LIMIT_ADDRESS", value_name = "LIMIT", default_value = "60/1h", value_parser = Limit::parse)]
    pub register_limit_address: Limit,

    /// Proxies that say in X-Forwarded-For where a client is: addresses and networks, separated by commas
    #[arg(long, env = "TRUSTED_PROXIES", value_name = "NETWORKS", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,

    /// Threads that hash passwords; by default half as many as there are cores
    #[arg(long, env = "PASSWORD_THREADS", value_name = "COUNT", value_parser = parse_count)]
    pub password_threads: Option<usize>,

    /// Sign-ins that may wait for one of those threads; more are refused
    #[arg(long, env = "PASSWORD_QUEUE", value_name = "COUNT", default_value_t = 64, value_parser = parse_count)]
    pub password_queue: usize,
}

/// Settings that have been checked.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Signs access tokens.
    pub access_token_secret: SecretString,
    /// Accepted for access tokens besides.
    pub previous_access_token_secret: Option<SecretString>,
    /// How long an access token is valid.
    pub access_token_expiry: Duration,
    /// Signs refresh tokens.
    pub refresh_token_secret: SecretString,
    /// Accepted for refresh tokens besides.
    pub previous_refresh_token_secret: Option<SecretString>,
    /// How long a session lasts without being used.
    pub refresh_token_expiry: Duration,
    /// For how long a refresh token that was replaced is answered with its successor.
    pub refresh_token_grace: Duration,
    /// How long a session lasts at the most.
    pub session_max_age: Duration,
    /// How often whoever may try what.
    pub limits: SignInLimits,
    /// Whose `X-Forwarded-For` counts.
    pub trusted_proxies: TrustedProxies,
    /// Threads that hash passwords.
    pub password_threads: usize,
    /// Sign-ins that may wait for one of those threads.
    pub password_queue: usize,
}

/// How often somebody may try, and when they are told that they failed. Sign-ins count only if they fail.
#[derive(Debug, Clone)]
pub struct SignInLimits {
    /// Sign-ins from one address.
    pub login_address: Limit,
    /// Sign-ins to one account from one address.
    pub login_account: Limit,
    /// Sign-ins to one account from all addresses that it was never used from.
    pub login_strangers: Limit,
    /// Between the beginning of a sign-in and its refusal; twice, three times as much if finding out takes longer.
    pub login_refusal_time: Duration,
    /// Registrations from one address.
    pub register_address: Limit,
}

impl SignIn {
    pub(super) fn from_args(args: SignInArgs, development: bool) -> Result<Self, ConfigError> {
        let proxies = TrustedProxies::parse(&args.trusted_proxies).ok_or_else(|| ConfigError {
            variable: "TRUSTED_PROXIES",
            expected: "addresses and networks such as 10.0.0.1,10.1.0.0/16".to_owned(),
        })?;
        let default = |secret| development.then(|| SecretString::from(secret));
        Ok(Self {
            access_token_secret: secret(
                "ACCESS_TOKEN_SECRET",
                args.access_token_secret.or_else(|| default(DEVELOPMENT_SECRET)),
            )?,
            previous_access_token_secret: previous("ACCESS_TOKEN_SECRET_PREVIOUS", args.access_token_secret_previous)?,
            access_token_expiry: args.access_token_expiry,
            refresh_token_secret: secret(
                "REFRESH_TOKEN_SECRET",
                args.refresh_token_secret.or_else(|| default(DEVELOPMENT_REFRESH_SECRET)),
            )?,
            previous_refresh_token_secret: previous(
                "REFRESH_TOKEN_SECRET_PREVIOUS",
                args.refresh_token_secret_previous,
            )?,
            refresh_token_expiry: args.refresh_token_expiry,
            refresh_token_grace: args.refresh_token_grace,
            session_max_age: args.session_max_age,
            limits: SignInLimits {
                login_address: args.login_limit_address,
                login_account: args.login_limit_account,
                login_strangers: args.login_limit_strangers,
                login_refusal_time: args.login_refusal_time,
                register_address: args.register_limit_address,
            },
            trusted_proxies: proxies,
            password_threads: args.password_threads.unwrap_or_else(half_of_the_cores),
            password_queue: args.password_queue,
        })
    }
}

/// More would not sign in more people while others are busy, and would take the cores from everybody else.
fn half_of_the_cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

fn secret(variable: &'static str, given: Option<SecretString>) -> Result<SecretString, ConfigError> {
    given.filter(|secret| secret.expose_secret().len() >= MIN_SECRET_BYTES).ok_or_else(|| ConfigError {
        variable,
        expected: format!("a secret of at least {MIN_SECRET_BYTES} bytes, such as `openssl rand -hex 32` prints"),
    })
}

/// A secret that is on its way out. Empty is none: so it can stay in a file once it is gone.
fn previous(variable: &'static str, given: Option<SecretString>) -> Result<Option<SecretString>, ConfigError> {
    match given.filter(|secret| !secret.expose_secret().is_empty()) {
        None => Ok(None),
        given => secret(variable, given).map(Some),
    }
}
