//! Whose password is next.
//!
//! Turns go round by address: in every round each address has one, those that the account knows first. So an address
//! that has many waiting keeps itself waiting and nobody else, whether its passwords are right or wrong, and one that
//! nobody competes with has all the threads. When the line is full its last goes, who is of the address with the most
//! in it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Who has a password hashed or checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The address, or what counts as one.
    pub(crate) party: String,
    /// Whether the account was used from there lately.
    pub(crate) is_known: bool,
}

/// A place in the line; the least is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    round: u64,
    is_stranger: bool,
    /// Whoever came first.
    number: u64,
}

#[derive(Debug)]
struct Waiting {
    party: String,
    start: oneshot::Sender<Thread>,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    round: u64,
    /// Those who have had their turn in this round.
    served: HashSet<String>,
    waiting: BTreeMap<Turn, Waiting>,
    /// Of the one who came last.
    number: u64,
}

/// Threads, and who waits for them.
#[derive(Debug)]
pub(super) struct Line {
    limit: usize,
    state: Mutex<State>,
}

/// A thread that somebody has. Dropping it gives it to the next in the line.
#[derive(Debug)]
pub(super) struct Thread(Arc<Line>);

impl Line {
    /// For so many threads, with room for `limit` who wait.
    pub(super) fn new(threads: usize, limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::new(State { free: threads, ..State::default() }) })
    }

    /// Waits for a thread. `None`, at once or later: the line is full, and others are before this one. May be cancelled
    /// at any time.
    pub(super) async fn thread(self: &Arc<Self>, asker: &Asker) -> Option<Thread> {
        let started = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                let round = state.round_of(&asker.party);
                state.serve(asker.party.clone(), round);
                return Some(Thread(self.clone()));
            }
            state.join(asker, self.limit)
        };
        started.await.ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn join(&mut self, asker: &Asker, limit: usize) -> oneshot::Receiver<Thread> {
        // Those who have gone.
        self.waiting.retain(|_, one| !one.start.is_closed());
        self.number += 1;
        let round = self.round_of(&asker.party);
        let turn = Turn { round, is_stranger: !asker.is_known, number: self.number };
        let (start, started) = oneshot::channel();
        self.waiting.insert(turn, Waiting { party: asker.party.clone(), start });
        if self.waiting.len() > limit {
            self.waiting.pop_last();
        }
        started
    }

    /// The first round in which a party has no turn yet.
    fn round_of(&self, party: &str) -> u64 {
        let last = self.waiting.iter().rev().find(|(_, one)| one.party == party).map(|(turn, _)| turn.round);
        let last = last.or_else(|| self.served.contains(party).then_some(self.round));
        last.map_or(self.round, |last| last + 1)
    }

    fn serve(&mut self, party: String, round: u64) {
        if round > self.round {
            self.round = round;
            self.served.clear();
        }
        self.served.insert(party);
    }

    /// Who has the thread that has become free. Nobody: it is free for whoever comes.
    fn next(&mut self) -> Option<oneshot::Sender<Thread>> {
        while let Some((turn, one)) = self.waiting.pop_first() {
            if !one.start.is_closed() {
                self.serve(one.party, turn.round);
                return Some(one.start);
            }
        }
        self.free += 1;
        // Nobody competes, so nobody has had more than their share.
        self.served.clear();
        None
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let next = self.0.state().next();
        if let Some(next) = next {
            // If its client goes at this moment, the thread that comes back is dropped and given to the one after it.
            let _ = next.send(Self(self.0.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::timeout;

    use super::*;

    fn asker(party: &str, is_known: bool) -> Asker {
        Asker { party: party.to_owned(), is_known }
    }

    /// In which order those who come while `first` has the one thread get it, and who is refused.
    async fn order(limit: usize, first: Asker, others: &[(&str, bool)]) -> (Vec<String>, Vec<String>) {
        let line = Line::new(1, limit);
        let busy = line.thread(&first).await;
        let (served, refused) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let others = join_all(others.iter().map(async |(party, is_known)| {
            let thread = line.thread(&asker(party, *is_known)).await;
            let list = if thread.is_some() { &served } else { &refused };
            list.lock().expect("no panic").push((*party).to_owned());
        }));
        tokio::join!(biased; others, async { drop(busy) });
        assert_eq!(line.state().free, 1);
        let mut refused = refused.into_inner().expect("no panic");
        refused.sort();
        (served.into_inner().expect("no panic"), refused)
    }

    #[tokio::test]
    async fn one_address_keeps_no_other_waiting() {
        let others = [("a", true), ("a", true), ("a", true), ("a", true), ("b", false), ("c", true)];
        let (served, refused) = order(4, asker("a", true), &others).await;
        assert_eq!(served, ["c", "b", "a", "a"]);
        assert_eq!(refused, ["a", "a"]);
    }

    #[tokio::test]
    async fn known_addresses_are_first_in_a_round_and_have_one_turn_in_it() {
        let others = [("a", false), ("b", true), ("b", true), ("c", false)];
        let (served, refused) = order(8, asker("x", false), &others).await;
        assert_eq!(served, ["b", "a", "c", "b"]);
        assert!(refused.is_empty());
        // Who was known a moment ago comes after a stranger who waits.
        let (served, _) = order(8, asker("b", true), &[("b", true), ("a", false)]).await;
        assert_eq!(served, ["a", "b"]);
    }

    #[tokio::test]
    async fn strangers_make_way_for_the_known_when_the_line_is_full() {
        let (served, refused) =
            order(2, asker("x", false), &[("a", false), ("b", false), ("c", true), ("d", false)]).await;
        assert_eq!(served, ["c", "a"]);
        assert_eq!(refused, ["b", "d"]);
    }

    #[tokio::test]
    async fn nobody_holds_a_place_who_has_gone() {
        let line = Line::new(1, 1);
        let busy = line.thread(&asker("a", false)).await.expect("a free one");
        let mut gone = Box::pin(async { line.thread(&asker("b", true)).await });
        assert!(timeout(Duration::from_millis(1), &mut gone).await.is_err());
        drop(gone);
        let waiting = async { line.thread(&asker("c", false)).await.is_some() };
        let (got_it, ()) = tokio::join!(biased; waiting, async { drop(busy) });
        assert!(got_it);
        // Neither does one who goes with the thread on its way.
        let busy = line.thread(&asker("a", false)).await.expect("a free one");
        let mut gone = Box::pin(async { line.thread(&asker("b", true)).await });
        assert!(timeout(Duration::from_millis(1), &mut gone).await.is_err());
        drop(busy);
        drop(gone);
        assert_eq!(line.state().free, 1);
    }
}
