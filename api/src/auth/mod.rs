//! Who is asking.

mod argon;
mod client_address;
mod common;
pub(crate) mod cookies;
mod even;
mod keys;
mod limits;
mod password;
mod refresh;
mod rules;
pub(crate) mod session;
mod signed_in;
mod token;

pub use client_address::TrustedProxies;
pub use keys::InvalidToken;
pub use limits::Limit;
pub use password::{Error as PasswordError, Passwords, Verdict};
pub use signed_in::SignedIn;
pub use token::{AccessTokens, Bearer};

pub(crate) use client_address::{ClientAddress, Peer};
pub(crate) use even::Even;
pub(crate) use limits::{Guard, Rule, key, party};
pub(crate) use refresh::RefreshTokens;
pub(crate) use rules::{is_printable, refusal_of_password};
pub(crate) use signed_in::{Caller, Presented, is_token, not_signed_in, refresh_cookie};
