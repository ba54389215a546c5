//! The open streams of this process.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messages::{SessionId, UserId};
use tokio::sync::Notify;

use super::position::Position;
use super::reader::{Event, Reader};

/// The open streams. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Hub(Arc<Streams>);

#[derive(Debug)]
struct Streams {
    limits: Limits,
    open: Mutex<Open>,
    /// Those that have asked for a part of what they lag behind.
    asking: Mutex<Vec<Arc<Reader>>>,
    has_asked: Notify,
}

#[derive(Debug, Default)]
struct Open {
    of_user: HashMap<UserId, Vec<Arc<Reader>>>,
    count: usize,
    /// The process stops.
    is_closed: bool,
}

/// How many streams there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) of_user: usize,
    pub(crate) of_all: usize,
}

/// There are as many as there may be.
#[derive(Debug)]
pub(super) enum TooMany {
    OfUser(usize),
    OfAll,
}

impl Hub {
    pub(crate) fn new(limits: Limits) -> Self {
        let (open, asking, has_asked) = (Mutex::default(), Mutex::default(), Notify::new());
        Self(Arc::new(Streams { limits, open, asking, has_asked }))
    }

    /// How many streams are open.
    pub(crate) fn count(&self) -> usize {
        self.open().count
    }

    /// Opens a stream. While the process stops it ends at once, so that its client looks for another one.
    pub(super) fn enter(&self, reader: Reader) -> Result<Arc<Reader>, TooMany> {
        let mut open = self.open();
        let Limits { of_user: most, of_all } = self.0.limits;
        if open.of_user.get(&reader.user).is_some_and(|of_user| of_user.len() >= most) {
            return Err(TooMany::OfUser(most));
        }
        if open.count >= of_all {
            return Err(TooMany::OfAll);
        }
        let is_closed = open.is_closed;
        let of_user = open.of_user.entry(reader.user).or_default();
        let reader = Arc::new(reader);
        if is_closed {
            reader.end();
        }
        of_user.push(Arc::clone(&reader));
        open.count += 1;
        Ok(reader)
    }

    pub(super) fn leave(&self, reader: &Arc<Reader>) {
        let mut open = self.open();
        let Some(of_user) = open.of_user.get_mut(&reader.user) else { return };
        let Some(place) = of_user.iter().position(|other| Arc::ptr_eq(other, reader)) else { return };
        of_user.swap_remove(place);
        if of_user.is_empty() {
            open.of_user.remove(&reader.user);
        }
        open.count -= 1;
        drop(open);
        let mut asking = self.asking();
        if let Some(place) = asking.iter().position(|other| Arc::ptr_eq(other, reader)) {
            asking.swap_remove(place);
        }
    }

    /// Notes that a stream lags and that its client has taken the rest.
    pub(super) fn ask(&self, reader: &Arc<Reader>) {
        self.asking().push(Arc::clone(reader));
        self.wake();
    }

    /// As if somebody had asked.
    pub(super) fn wake(&self) {
        self.0.has_asked.notify_one();
    }

    /// Waits until somebody has asked since this was awaited last.
    pub(super) async fn until_asked(&self) {
        self.0.has_asked.notified().await;
    }

    /// Some of those who have asked, for the caller to answer.
    pub(super) fn some_asking(&self, limit: usize) -> Vec<Arc<Reader>> {
        let mut asking = self.asking();
        let count = asking.len().min(limit);
        asking.drain(..count).collect()
    }

    pub(super) fn has(&self, user: UserId) -> bool {
        self.open().of_user.contains_key(&user)
    }

    /// Tells something to all streams of a user's that it is for.
    pub(super) fn tell(&self, user: UserId, event: &Event, reached: Position) {
        for reader in self.open().of_user.get(&user).into_iter().flatten() {
            reader.push(event, reached);
        }
    }

    /// Changes may have been missed.
    pub(super) fn all_lag(&self) {
        self.asking().clear();
        for reader in self.open().of_user.values().flatten() {
            reader.lags();
        }
    }

    /// Whose streams are open.
    pub(super) fn sessions(&self) -> HashSet<(UserId, SessionId)> {
        self.open().of_user.values().flatten().map(|reader| (reader.user, reader.session)).collect()
    }

    /// Ends the streams of a session.
    pub(super) fn end_session(&self, user: UserId, session: SessionId) {
        let open = self.open();
        let of_user = open.of_user.get(&user).into_iter().flatten();
        of_user.filter(|reader| reader.session == session).for_each(|reader| reader.end());
    }

    /// Ends all streams, those included that are opened later.
    pub(super) fn close(&self) {
        let mut open = self.open();
        open.is_closed = true;
        open.of_user.values().flatten().for_each(|reader| reader.end());
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asking(&self) -> MutexGuard<'_, Vec<Arc<Reader>>> {
        self.0.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;
    use crate::routes::events::reader::Next;

    fn reader(user: u8) -> Reader {
        let told = Position::at(time::OffsetDateTime::UNIX_EPOCH);
        Reader::new(UserId::from_bytes([user; 12]), SessionId::from_bytes([user; 12]), None, told)
    }

    #[test]
    fn a_user_has_so_many_streams_and_another_one_in_the_place_of_each_that_ends() {
        let hub = Hub::new(Limits { of_user: 2, of_all: 3 });
        let first = hub.enter(reader(1)).expect("a place");
        let _second = hub.enter(reader(1)).expect("a place");
        assert!(matches!(hub.enter(reader(1)), Err(TooMany::OfUser(2))));
        let _of_another = hub.enter(reader(2)).expect("a place");
        assert_eq!(hub.count(), 3);
        assert!(matches!(hub.enter(reader(2)), Err(TooMany::OfAll)));
        hub.leave(&first);
        hub.leave(&first);
        assert_eq!(hub.count(), 2);
        let _third = hub.enter(reader(1)).expect("a place");
    }

    #[test]
    fn a_session_that_has_ended_takes_its_streams_with_it_and_a_stop_takes_all() {
        let hub = Hub::new(Limits { of_user: 9, of_all: 9 });
        let (one, other) = (hub.enter(reader(1)).expect("a place"), hub.enter(reader(2)).expect("a place"));
        let ends = |reader: &Reader| matches!(reader.next(&Context::from_waker(Waker::noop())), Next::End);
        hub.end_session(one.user, one.session);
        assert_eq!((ends(&one), ends(&other)), (true, false));
        hub.close();
        let late = hub.enter(reader(3)).expect("a place");
        assert!(ends(&other) && ends(&late));
    }
}
