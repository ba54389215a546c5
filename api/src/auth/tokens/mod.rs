//! Tokens: what they say, and how they are signed and checked.

mod access;
mod jwt;
mod refresh;

pub use access::{AccessTokens, Bearer};
pub use jwt::InvalidToken;

pub(crate) use refresh::{RefreshTokens, TokenId};
