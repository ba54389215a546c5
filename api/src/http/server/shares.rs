//! How many connections each address has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct Shares {
    limit: usize,
    held: Mutex<HashMap<String, usize>>,
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

    /// `None`: the address has as many as it may.
    pub(super) fn take(self: &Arc<Self>, party: String) -> Option<Share> {
        let mut held = self.held();
        let number = held.get(&party).copied().unwrap_or_default();
        if number >= self.limit {
            return None;
        }
        held.insert(party.clone(), number + 1);
        Some(Share { shares: self.clone(), party })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        match held.get_mut(&self.party) {
            Some(number) if *number > 1 => *number -= 1,
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
        let take = |party: &str| shares.take(party.to_owned());
        let (one, two) = (take("a"), take("a"));
        assert!(one.is_some() && two.is_some() && take("a").is_none());
        assert!(take("b").is_some());
        drop(one);
        let three = take("a");
        assert!(three.is_some() && take("a").is_none());
        drop((two, three));
        assert!(shares.held().is_empty());
    }
}
