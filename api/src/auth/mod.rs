//! Who is asking.

mod client_address;
pub(crate) mod cookies;
mod extract;
mod password;
mod rate_limit;
pub(crate) mod session;
mod tokens;
mod uniform_delay;

pub use client_address::TrustedProxies;
pub use extract::SignedIn;
pub use password::{PasswordError, Passwords, Verdict};
pub use rate_limit::Limit;
pub use tokens::{AccessTokens, Bearer, InvalidToken};

pub(crate) use client_address::{ClientAddress, Peer};
pub(crate) use extract::{Caller, Presented, is_token, not_signed_in, refresh_cookie};
pub(crate) use password::{is_printable, refusal_of_password};
pub(crate) use rate_limit::{Guard, Rule, key, party};
pub(crate) use tokens::RefreshTokens;
pub(crate) use uniform_delay::UniformDelay;
