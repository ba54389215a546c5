//! Who is asking: passwords, tokens, sessions and how often one may try.

mod admin;
mod client_address;
mod cookies;
mod extract;
mod password;
mod rate_limit;
mod session;
mod tokens;
mod uniform_delay;

pub use tokens::AccessTokens;

pub(crate) use admin::{AdminReader, AdminWriter, guard as guard_admins};
pub(crate) use client_address::ClientAddress;
pub(crate) use cookies::ACCESS as ACCESS_COOKIE;
pub(crate) use extract::{Caller, Presented, carries_session, is_token, not_signed_in, refresh_cookie};
pub(crate) use password::{Asker, Verdict, is_printable, refusal_of_password};
pub(crate) use rate_limit::{Guard, Rule, key, network, party};
pub(crate) use session::Device;
pub(crate) use uniform_delay::UniformDelay;

use axum_extra::extract::cookie::SameSite;
use store::Store;

use crate::Error;
use crate::config::{Config, SignIn};
use password::Passwords;
use tokens::RefreshTokens;

/// What it takes to know who is asking.
#[derive(Debug)]
pub(crate) struct Auth {
    pub(crate) store: Store,
    pub(crate) passwords: Passwords,
    pub(crate) access_tokens: AccessTokens,
    pub(crate) refresh_tokens: RefreshTokens,
    pub(crate) settings: SignIn,
    is_secure: bool,
    same_site: SameSite,
}

impl Auth {
    pub(crate) fn new(config: &Config, store: Store) -> Result<Self, Error> {
        let settings = config.sign_in.clone();
        let passwords =
            Passwords::start(settings.password_threads(), settings.password_queue).map_err(Error::Runtime)?;
        let previous = settings.access_token_secret_previous.as_ref();
        let access_tokens = AccessTokens::new(settings.access_token_secret()?, previous, settings.access_token_expiry);
        let previous = settings.refresh_token_secret_previous.as_ref();
        let refresh_tokens = RefreshTokens::new(settings.refresh_token_secret()?, previous);
        Ok(Self {
            store,
            passwords,
            access_tokens,
            refresh_tokens,
            settings,
            is_secure: config.http.is_secure(),
            same_site: config.http.cookie_same_site,
        })
    }
}
