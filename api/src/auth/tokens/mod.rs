//! Tokens: what they say, and how they are signed and checked.

mod access;
mod jwt;
mod refresh;

pub use access::AccessTokens;

pub(crate) use access::Bearer;
pub(crate) use refresh::{RefreshTokens, TokenId};
