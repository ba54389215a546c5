//! Who is asking.

mod argon;
mod password;
mod signed_in;
mod token;

pub use password::{Error as PasswordError, Passwords, Verdict};
pub use signed_in::SignedIn;
pub use token::AccessTokens;

pub(crate) use signed_in::access_cookie;
