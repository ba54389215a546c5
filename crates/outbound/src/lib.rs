//! Requests to addresses that users have chosen.
//!
//! Whoever may name an address could have us ask what only we can reach: the database, the broker, the metadata of a cloud. So
//!
//! * an address is `https`, and every host in it is one of the internet ([`is_public`]), however it is spelled;
//! * names are looked up by [`Resolver`] when an endpoint is registered and again at every request, and a connection goes to the
//!   addresses that were judged and to no other: a name that leads elsewhere the second time is refused then;
//! * redirects are not followed, proxies are not asked, and an answer is read up to a limit and within a time.
//!
//! [`signature`] signs as [Standard Webhooks](https://www.standardwebhooks.com) has it.

#![warn(missing_docs)]

mod address;
mod client;
mod refusal;
mod resolve;
mod signature;

pub use address::is_public;
pub use client::{Answer, Client, Error, Failure, Post};
pub use refusal::Refusal;
pub use resolve::{Lookup, MAX_URL, Reach, Resolver, Turn};
pub use signature::{NoSecret, SECRET_PREFIX, new_secret, signature};
