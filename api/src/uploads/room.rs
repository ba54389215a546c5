//! Room on the spool's disk: what is free, what is promised to uploads that are under way, and what came since it was
//! measured.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// As much is promised to an upload ahead of what came: pictures as a whole, and of a video so much at a time, or a few
/// clients that announce much and send nothing would have all the room.
const AHEAD: u64 = 16 * 1024 * 1024;

/// Why no upload is taken, however short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The floor is reached.
    Full,
    /// There may be room, and no file can be made.
    NoInodes,
    ReadOnly,
}

impl Closed {
    /// For whoever has to mend it.
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::Full => "its disk is too full; uploads are refused with 507",
            Self::NoInodes => "its disk has no inodes left; uploads are refused with 507",
            Self::ReadOnly => "its disk is read-only; uploads are refused with 503",
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// As it was measured last.
    free: u64,
    /// Whether the spool could not be measured since.
    unknown: bool,
    /// Files that could be made then, where that has a limit.
    inodes: Option<u64>,
    /// Why no file could be made then, whatever is free.
    takes_no_files: Option<Closed>,
    /// Bytes that came since. What of them was still in memory at a measurement is missing from both until the next one:
    /// a few hundred KiB for each upload that is under way.
    received: u64,
    /// Bytes that are to come.
    promised: u64,
}

/// The disk, as far as this process knows: others that write to it show at the next measurement.
#[derive(Debug)]
pub(super) struct Room {
    /// What stays free.
    floor: u64,
    state: Mutex<State>,
}

/// Room for an upload. Dropping it gives back what was not used.
#[derive(Debug)]
pub(super) struct Promised {
    room: Arc<Room>,
    /// Of what is to come, as far as it is promised.
    bytes: u64,
    /// Bytes that were announced and did not come yet.
    to_come: u64,
}

impl State {
    fn free_now(&self) -> u64 {
        self.free.saturating_sub(self.received)
    }

    /// What nobody was promised.
    fn left(&self) -> u64 {
        self.free_now().saturating_sub(self.promised)
    }
}

impl Room {
    pub(super) fn new(free: u64, floor: u64) -> Arc<Self> {
        Arc::new(Self { floor, state: Mutex::new(State { free, ..State::default() }) })
    }

    pub(super) fn measured(&self, free: u64, takes_no_files: Option<Closed>) {
        let mut state = self.state();
        (state.free, state.received, state.takes_no_files, state.unknown) = (free, 0, takes_no_files, false);
    }

    /// Notes that the spool could not be measured. Uploads go by what was measured last.
    pub(super) fn not_measured(&self) {
        self.state().unknown = true;
    }

    /// Notes how many files could be made. Nobody is refused for that: one is tried instead.
    pub(super) fn counted(&self, inodes: Option<u64>) {
        self.state().inodes = inodes;
    }

    /// What was free when it was measured: bytes, and files where they have a limit. `None`: it cannot be measured now.
    pub(super) fn free(&self) -> Option<(u64, Option<u64>)> {
        let state = self.state();
        (!state.unknown).then_some((state.free, state.inodes))
    }

    /// Whether it is closed to all, whatever was promised.
    pub(super) fn closed(&self) -> Option<Closed> {
        let state = self.state();
        state.takes_no_files.or_else(|| (state.free_now() < self.floor).then_some(Closed::Full))
    }

    /// Room for an upload of so many bytes, if a file can be made and they can come without going below the floor.
    pub(super) fn promise(self: &Arc<Self>, to_come: u64) -> Result<Promised, Closed> {
        let mut state = self.state();
        if let Some(why) = state.takes_no_files {
            return Err(why);
        }
        if state.left() < self.floor.saturating_add(to_come) {
            return Err(Closed::Full);
        }
        let bytes = to_come.min(AHEAD);
        state.promised += bytes;
        Ok(Promised { room: self.clone(), bytes, to_come })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Promised {
    /// Whether bytes that came may be written. Beyond what was promised they may take what nobody else was, and in any
    /// case nothing below the floor: others may have filled the disk meanwhile.
    pub(super) fn take(&mut self, bytes: u64) -> bool {
        let mut state = self.room.state();
        let promised = bytes.min(self.bytes);
        let floor = self.room.floor;
        let fits = state.free_now() >= floor.saturating_add(bytes)
            && (promised == bytes || state.left() >= floor.saturating_add(bytes - promised));
        if fits {
            state.received = state.received.saturating_add(bytes);
            state.promised -= promised;
            self.to_come = self.to_come.saturating_sub(bytes);
            let wanted = self.to_come.min(AHEAD).saturating_sub(self.bytes - promised);
            let more = wanted.min(state.left().saturating_sub(floor));
            state.promised += more;
            self.bytes = self.bytes - promised + more;
        }
        fits
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        self.room.state().promised -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_promised_once() {
        let room = Room::new(1_000, 100);
        let one = room.promise(600).expect("room");
        assert!(room.promise(301).is_err());
        let other = room.promise(300).expect("room");
        assert!(room.promise(1).is_err() && room.closed().is_none());
        drop(one);
        assert!(room.promise(600).is_ok());
        drop(other);
        assert!(room.promise(900).is_ok() && room.promise(901).is_err());
    }

    #[test]
    fn what_was_not_promised_stops_at_the_floor_and_at_what_others_were_promised() {
        let room = Room::new(1_000, 100);
        let mut declared = room.promise(500).expect("room");
        let mut chunked = room.promise(0).expect("room");
        assert!(chunked.take(400));
        assert!(!chunked.take(1), "that is another's");
        assert!(declared.take(300) && declared.take(200));
        assert!(!declared.take(1) && room.closed().is_none());
        // As measured: 100 free, nothing more received, nothing promised.
        room.measured(100, None);
        assert!(room.closed().is_none() && !chunked.take(1));
        assert_eq!(room.free(), Some((100, None)));
        room.not_measured();
        assert_eq!(room.free(), None);
        room.measured(101, None);
        assert_eq!(room.free(), Some((101, None)));
        assert!(chunked.take(1));
    }

    #[test]
    fn much_that_is_announced_and_does_not_come_keeps_little_from_others() {
        let room = Room::new(100 * AHEAD, AHEAD);
        assert!(room.promise(100 * AHEAD).is_err());
        let mut large = room.promise(90 * AHEAD).expect("room");
        let mut other = room.promise(90 * AHEAD).expect("room, for one of them at least");
        // Whatever comes first is taken, each with so much ahead of it, and never below the floor.
        for _ in 0..48 {
            assert!(large.take(AHEAD) && other.take(AHEAD));
        }
        assert!(large.take(AHEAD) && other.take(AHEAD) && large.take(AHEAD));
        assert!(!large.take(1) && !other.take(1) && room.closed().is_none());
    }

    #[test]
    fn a_promise_does_not_hold_when_others_have_filled_the_disk() {
        let room = Room::new(1_000, 100);
        let mut upload = room.promise(500).expect("room");
        assert!(upload.take(100));
        room.measured(99, None);
        assert!(room.closed() == Some(Closed::Full) && !upload.take(1));
        room.measured(500, None);
        assert!(upload.take(400));
    }

    #[test]
    fn a_disk_that_takes_no_files_is_closed_whatever_is_free() {
        let room = Room::new(1_000, 100);
        for why in [Closed::NoInodes, Closed::ReadOnly] {
            room.measured(1_000, Some(why));
            assert_eq!(room.closed(), Some(why));
        }
        room.measured(1_000, None);
        assert_eq!(room.closed(), None);
    }
}
