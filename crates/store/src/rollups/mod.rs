//! What has ended and how long it took, by the minute, and what waits now: kept so that whoever looks at the fleet never counts jobs.
//!
//! One worker at a time makes them, by a claim that runs out by the server's clock. It counts the jobs that ended in the last minutes
//! anew and replaces what was counted before, so doing it twice, or by two workers at once, changes nothing. Minutes are summed up to
//! stretches of ten, and those to hours: a window of any length is a few documents.

mod latency;
mod making;
mod reading;
mod snapshot;

use std::time::Duration;

use bson::{DateTime, doc};
use serde::{Deserialize, Serialize};
use serde_with::serde_as;
use time::OffsetDateTime;

use crate::codec::BsonDateTime;
use crate::connection::{Connection, Documents};
use crate::indexes::{Wanted, expiring};
use crate::{Counters, Jobs};

pub use latency::Latencies;
pub use making::Made;
pub use reading::Window;
pub use snapshot::{COUNTED_WAITING, Snapshot, WaitingIn};

const MINUTE: i64 = 60_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a stretch is that one document tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stretch {
    Minute,
    TenMinutes,
    Hour,
}

impl Stretch {
    /// As it stands in the names of documents. Permanent.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::TenMinutes => "ten",
            Self::Hour => "hour",
        }
    }

    const fn milliseconds(self) -> i64 {
        match self {
            Self::Minute => MINUTE,
            Self::TenMinutes => 10 * MINUTE,
            Self::Hour => 60 * MINUTE,
        }
    }

    pub const fn length(self) -> Duration {
        Duration::from_millis(self.milliseconds().unsigned_abs())
    }

    /// How long such documents are kept, from what they tell of.
    const fn kept(self) -> Duration {
        match self {
            Self::Minute => DAY.saturating_mul(3),
            Self::TenMinutes => DAY.saturating_mul(9),
            Self::Hour => DAY.saturating_mul(60),
        }
    }

    /// When the stretch began that a time is in.
    fn begin(self, at: DateTime) -> DateTime {
        let at = at.timestamp_millis();
        DateTime::from_millis(at - at.rem_euclid(self.milliseconds()))
    }

    /// The names of documents begin with the stretch and sort by the time.
    fn id(self, at: DateTime) -> String {
        format!("{}:{:013}", self.as_str(), at.timestamp_millis())
    }
}

/// What ended in a stretch of time.
#[serde_as]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollup {
    /// When the stretch began.
    #[serde_as(as = "BsonDateTime")]
    pub at: OffsetDateTime,
    pub kinds: Vec<Ended>,
}

/// What ended of a kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    pub kind: String,
    #[serde(default)]
    pub completed: u64,
    #[serde(default)]
    pub discarded: u64,
    #[serde(default)]
    pub cancelled: u64,
    /// How long those took that were completed, from when they were accepted.
    #[serde(default)]
    pub latency: Latencies,
}

impl Ended {
    /// How many, however they ended.
    pub const fn count(&self) -> u64 {
        self.completed.saturating_add(self.discarded).saturating_add(self.cancelled)
    }

    /// Adds what ended at another time, or elsewhere.
    pub fn add(&mut self, more: &Self) {
        self.completed += more.completed;
        self.discarded += more.discarded;
        self.cancelled += more.cancelled;
        self.latency.add(&more.latency);
    }
}

/// Adds up what ended in several stretches, by kind, in the order of kinds.
fn sum<'a>(rollups: impl IntoIterator<Item = &'a Rollup>) -> Vec<Ended> {
    let mut kinds: std::collections::BTreeMap<&str, Ended> = std::collections::BTreeMap::new();
    for ended in rollups.into_iter().flat_map(|rollup| &rollup.kinds) {
        let so_far = kinds.entry(&ended.kind).or_insert_with(|| Ended { kind: ended.kind.clone(), ..Ended::default() });
        so_far.add(ended);
    }
    kinds.into_values().collect()
}

/// What has ended, and what waits.
#[derive(Debug, Clone)]
pub struct Rollups {
    connection: Connection,
    jobs: Jobs,
    counters: Counters,
    documents: Documents,
    /// For writes whose loss in a failover only costs a repetition.
    notes: Documents,
}

impl Rollups {
    pub(crate) fn new(jobs: &Jobs, counters: &Counters) -> Self {
        Self {
            connection: jobs.connection.clone(),
            jobs: jobs.clone(),
            counters: counters.clone(),
            documents: jobs.connection.collection("rollups"),
            notes: jobs.connection.notes("rollups"),
        }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        vec![(self.documents.clone(), expiring())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_one_stretch_of_each_length_and_names_sort_as_times_do() {
        let at = DateTime::from_millis(1_700_003_599_999);
        let begin = |stretch: Stretch| stretch.begin(at).timestamp_millis();
        assert_eq!(begin(Stretch::Minute), 1_700_003_580_000);
        assert_eq!(begin(Stretch::TenMinutes), 1_700_003_400_000);
        assert_eq!(begin(Stretch::Hour), 1_700_002_800_000);
        for stretch in [Stretch::Minute, Stretch::TenMinutes, Stretch::Hour] {
            assert!(stretch.id(stretch.begin(at)) < stretch.id(at));
            assert_eq!(stretch.begin(stretch.begin(at)), stretch.begin(at));
        }
        assert_eq!(Stretch::Hour.id(DateTime::from_millis(1)), "hour:0000000000001");
    }

    #[test]
    fn what_ended_is_added_up_by_kind() {
        let of = |kind: &str, completed, discarded| Ended {
            kind: kind.to_owned(),
            completed,
            discarded,
            latency: Latencies::from_counts([(3, completed)]),
            ..Ended::default()
        };
        let at = OffsetDateTime::UNIX_EPOCH;
        let rollups =
            [Rollup { at, kinds: vec![of("b", 1, 2), of("a", 1, 0)] }, Rollup { at, kinds: vec![of("b", 4, 0)] }];
        assert_eq!(sum(&rollups), [of("a", 1, 0), of("b", 5, 2)]);
        assert_eq!(sum(&rollups)[1].count(), 7);
    }
}
