//! Workers, as they tell of themselves: each writes a sign of life every few seconds, by the server's clock.
//!
//! A sign is a note: it waits for no majority, and one that is lost is followed by the next. Nothing that jobs depend on is read from
//! it.

mod listing;
mod sign;

use std::time::Duration;

use bson::doc;
use serde::Deserialize;
use serde_with::serde_as;
use time::OffsetDateTime;

use crate::codec::BsonDateTime;
use crate::connection::{Connection, Documents};
use crate::indexes::{Wanted, expiring, plain};

pub use listing::{WorkerPage, WorkerPosition};
pub use sign::{RunningJob, Sign, SlotsOf, SpoolFill};

/// How long a worker is remembered after its last sign of life.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What workers tell of themselves.
#[derive(Debug, Clone)]
pub struct Workers {
    connection: Connection,
    documents: Documents,
    /// For writes whose loss in a failover only costs a repetition.
    notes: Documents,
}

/// How a worker is, as far as its signs of life tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    /// It takes deliveries.
    Alive,
    /// It lives, and takes none, because it was told so or is about to end.
    Draining,
    /// It has given no sign of life for [`Workers::VANISHED_AFTER`], and had not said that it ends.
    Vanished,
    /// It has ended in good order.
    Left,
}

impl WorkerState {
    pub const ALL: [Self; 4] = [Self::Alive, Self::Draining, Self::Vanished, Self::Left];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Draining => "draining",
            Self::Vanished => "vanished",
            Self::Left => "left",
        }
    }
}

/// A worker by its last sign of life.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// As claims and attempts name it. No other process has or had it.
    #[serde(rename = "_id")]
    pub name: String,
    pub version: String,
    pub host: String,
    /// The spool whose files it can open.
    pub spool: String,
    /// When it started.
    #[serde_as(as = "BsonDateTime")]
    pub since: OffsetDateTime,
    #[serde_as(as = "BsonDateTime")]
    pub last_sign: OffsetDateTime,
    /// When it ended, if it did so in good order.
    #[serde_as(as = "Option<BsonDateTime>")]
    pub left_at: Option<OffsetDateTime>,
    #[serde(default)]
    pub draining: bool,
    #[serde(default)]
    pub slots: Vec<SlotsOf>,
    /// The jobs that it runs, the longest first, at most [`Sign::MAX_RUNNING`].
    #[serde(default)]
    pub running: Vec<RunningJob>,
    /// How many it runs in all.
    #[serde(default)]
    pub running_count: u64,
    /// By how much its clock is ahead of the server's, milliseconds. None: it does not know yet.
    pub clock_offset_ms: Option<i64>,
    /// None: it has not looked yet.
    pub spool_fill: Option<SpoolFill>,
    /// How long ago its last sign of life was when this was read, milliseconds.
    #[serde(default)]
    pub silent_ms: i64,
}

impl Worker {
    pub fn state(&self) -> WorkerState {
        if self.left_at.is_some() {
            WorkerState::Left
        } else if u128::try_from(self.silent_ms).is_ok_and(|silent| silent > Workers::VANISHED_AFTER.as_millis()) {
            WorkerState::Vanished
        } else if self.draining {
            WorkerState::Draining
        } else {
            WorkerState::Alive
        }
    }

    /// Whether it runs, or may: it has given a sign of life of late and has not said that it ends.
    pub fn lives(&self) -> bool {
        matches!(self.state(), WorkerState::Alive | WorkerState::Draining)
    }
}

impl Workers {
    /// How long after its last sign of life a worker that did not say that it ends counts as vanished: four signs later.
    pub const VANISHED_AFTER: Duration = Duration::from_secs(20);

    pub(crate) fn new(connection: &Connection) -> Self {
        Self {
            connection: connection.clone(),
            documents: connection.collection("workers"),
            notes: connection.notes("workers"),
        }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        vec![
            (self.documents.clone(), plain(doc! { "since": -1, "_id": -1 })),
            (self.documents.clone(), plain(doc! { "leftAt": 1, "lastSign": -1 })),
            (self.documents.clone(), expiring()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(left: bool, draining: bool, silent_ms: i64) -> Worker {
        let at = OffsetDateTime::UNIX_EPOCH;
        Worker {
            name: "host-1-abc".to_owned(),
            version: "0.1.0".to_owned(),
            host: "host".to_owned(),
            spool: "here".to_owned(),
            since: at,
            last_sign: at,
            left_at: left.then_some(at),
            draining,
            slots: Vec::new(),
            running: Vec::new(),
            running_count: 0,
            clock_offset_ms: None,
            spool_fill: None,
            silent_ms,
        }
    }

    #[test]
    fn a_worker_that_is_silent_for_long_has_vanished_unless_it_said_that_it_ends() {
        for (left, draining, silent, state, lives) in [
            (false, false, 0, WorkerState::Alive, true),
            (false, false, -5, WorkerState::Alive, true),
            (false, true, 20_000, WorkerState::Draining, true),
            (false, false, 20_001, WorkerState::Vanished, false),
            (false, true, 20_001, WorkerState::Vanished, false),
            (true, true, 90_000, WorkerState::Left, false),
        ] {
            let worker = worker(left, draining, silent);
            assert_eq!((worker.state(), worker.lives()), (state, lives), "{worker:?}");
        }
    }
}
