//! How often somebody may try, counted for all processes together.
//!
//! A try is counted before it is made and taken back when it succeeds, or when it is refused and so never made. So
//! failures count, and many at once count as many. Keys are hashed: people type passwords where names belong. Not
//! `tower_governor`: it counts in one process and takes nothing back.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use ipnet::Ipv6Net;
use sha2::{Digest, Sha256};
use store::{Hits, Store};

use crate::config::AttemptLimit;
use crate::http::problem::{Problem, ProblemKind};

/// What a try is counted by, and how many there may be.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The policy's name in the headers. Without one it is in none of them.
    pub(crate) name: Option<&'static str>,
    pub(crate) key: String,
    pub(crate) limit: AttemptLimit,
}

impl Rule {
    pub(crate) fn new(name: &'static str, limit: AttemptLimit, key: String) -> Self {
        Self { name: Some(name), key, limit }
    }

    /// For a rule that no header may show, because its presence alone tells something.
    pub(crate) fn untold(limit: AttemptLimit, key: String) -> Self {
        Self { name: None, key, limit }
    }
}

/// A key that does not show its parts.
pub(crate) fn key(what: &str, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("{what}:{}", hex::encode(&hash.finalize()[..16]))
}

/// What an address is counted as where each party shall have its share: itself, or in IPv6 the 256 networks that an ordinary
/// line has.
pub(crate) fn party(address: IpAddr) -> String {
    counted_as(address, 56)
}

/// What an address is counted as where one network of a line shall not use up what another one has: itself, or in IPv6 its
/// network.
pub(crate) fn network(address: IpAddr) -> String {
    counted_as(address, 64)
}

fn counted_as(address: IpAddr, prefix: u8) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => Ipv6Net::new_assert(address, prefix).trunc().to_string(),
    }
}

/// Counts the tries of a request, and tells the client what is left.
#[derive(Debug)]
pub(crate) struct Guard<'a> {
    store: &'a Store,
    counted: Vec<Counted>,
}

#[derive(Debug)]
struct Counted {
    name: Option<&'static str>,
    limit: u32,
    window: Duration,
    hits: Hits,
}

impl<'a> Guard<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store, counted: Vec::new() }
    }

    /// Counts a try by each of the rules, at once. 429 with `Retry-After` when it is one too many by any of them; then it
    /// is taken back from all that it was counted by so far, because a try that nobody checks is no failure.
    pub(crate) async fn admit(&mut self, rules: Vec<Rule>) -> Result<(), Problem> {
        let counting = rules.into_iter().filter_map(|rule| Some((rule.limit.0?, rule))).map(
            async |((limit, window), rule)| -> Result<Counted, store::Error> {
                let hits = self.store.rate_limits().hit(&rule.key, window).await?;
                Ok(Counted { name: rule.name, limit, window, hits })
            },
        );
        let counted = futures_util::future::try_join_all(counting).await?;
        let exceeded = counted.iter().filter(|one| one.hits.count > one.limit);
        let wait = exceeded.map(|one| one.hits.resets_in.as_secs() + 1).max();
        self.counted.extend(counted);
        let Some(seconds) = wait else { return Ok(()) };
        self.forgive().await;
        let detail = format!("too many attempts; try again in {seconds} seconds");
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Err(Problem::new(ProblemKind::TooMany, detail).retry_after(seconds))
    }

    /// Takes the try back: it was no guess. If the database does not answer, it stays counted.
    pub(crate) async fn forgive(&mut self) {
        let hits: Vec<Hits> = self.counted.iter().map(|one| one.hits.clone()).collect();
        if let Err(error) = self.store.rate_limits().take_back(&hits).await {
            tracing::warn!(%error, "a try that is no failure stays counted");
            return;
        }
        for one in &mut self.counted {
            one.hits.count = one.hits.count.saturating_sub(1);
        }
    }

    /// Adds the headers that say what is left (draft-ietf-httpapi-ratelimit-headers), of each policy the least.
    pub(crate) fn mark(&self, mut response: Response) -> Response {
        let (mut policies, mut left) = (Vec::new(), Vec::new());
        for name in ["address", "account"] {
            let counted = || self.counted.iter().filter(|one| one.name == Some(name));
            let Some(one) = counted().next() else { continue };
            let attempts = counted().map(|one| one.hits.count).max().unwrap_or_default();
            policies.push(format!("\"{name}\";q={};w={}", one.limit, one.window.as_secs()));
            let (remaining, resets) = (one.limit.saturating_sub(attempts), one.hits.resets_in.as_secs() + 1);
            left.push(format!("\"{name}\";r={remaining};t={resets}"));
        }
        for (name, values) in [("ratelimit-policy", policies), ("ratelimit", left)] {
            if let Ok(value) = HeaderValue::from_str(&values.join(", "))
                && !value.is_empty()
            {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_stands_for_its_network_or_all_of_its_line() {
        let network = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        let party = |text: &str| party(text.parse().expect("an address"));
        assert_eq!(party("192.0.2.1"), "192.0.2.1");
        assert_eq!(party("2001:db8:1:2::1"), party("2001:db8:1:ff::1"));
        assert_ne!(party("2001:db8:1:2::1"), party("2001:db8:1:102::1"));
    }

    #[test]
    fn a_key_tells_its_parts_apart_and_holds_none_of_them() {
        assert_ne!(key("a", &["bc", "d"]), key("a", &["b", "cd"]));
        assert_eq!(key("a", &["secret"]).len(), 34);
        assert!(!key("a", &["secret"]).contains("secret"));
    }
}
