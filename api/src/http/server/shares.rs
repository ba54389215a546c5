//! How many connections each address has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct Shares {
    limit: usize,
    held: Mutex<HashMap<String, Held>>,
}

#[derive(Debug, Default)]
struct Held {
    connections: usize,
    /// Whether one more was refused since there were none.
    is_refused: bool,
}

/// The address has as many as it may.
#[derive(Debug)]
pub(super) struct Refused {
    /// Not told before, since the address had no connection.
    pub(super) is_first: bool,
}

/// One connection of an address, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    party: String,
}

impl Shares {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: Mutex::default() })
    }

    pub(super) fn take(self: &Arc<Self>, party: &str) -> Result<Share, Refused> {
        let mut all = self.held();
        let held = all.entry(party.to_owned()).or_default();
        if held.connections >= self.limit {
            return Err(Refused { is_first: !std::mem::replace(&mut held.is_refused, true) });
        }
        held.connections += 1;
        Ok(Share { shares: self.clone(), party: party.to_owned() })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        match held.get_mut(&self.party) {
            Some(held) if held.connections > 1 => held.connections -= 1,
            _ => drop(held.remove(&self.party)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let shares = Shares::new(2);
        let take = |party: &str| shares.take(party);
        let (one, two) = (take("a"), take("a"));
        assert!(one.is_ok() && two.is_ok() && take("a").is_err());
        assert!(take("b").is_ok());
        drop(one);
        let three = take("a");
        assert!(three.is_ok() && take("a").is_err());
        drop((two, three));
        assert!(shares.held().is_empty());
    }

    #[test]
    fn that_an_address_has_too_many_is_told_once_until_it_has_none() {
        let shares = Shares::new(1);
        let refused = |party: &str| shares.take(party).expect_err("one too many").is_first;
        let (one, other) = (shares.take("a"), shares.take("b"));
        assert!(refused("a") && !refused("a") && refused("b") && !refused("a"));
        drop(one);
        let one = shares.take("a");
        assert!(refused("a") && !refused("b"));
        drop((one, other));
    }
}
