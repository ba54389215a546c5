//! The server's clock. Whatever two processes compare (when a job is due, how long a lease holds, what has expired) is told by
//! it: in the statement, by `$$NOW`, or by [`Clock::now`] where a document is made here. A machine whose own clock is wrong, or
//! jumps, writes wrong times into its log and nothing else.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bson::DateTime;

use crate::codec::milliseconds;

/// How far our own clock may be off before the log says so, milliseconds.
const WORTH_TELLING: i64 = 1000;

/// What is known of the server's clock. Clones know the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    reading: Option<Reading>,
    /// By how much our own clock is ahead, at least, milliseconds.
    offset: i64,
    /// What the log was told of that.
    told: i64,
}

/// At a moment the server's clock showed this, or a little more. Moments are told by a clock that nobody sets.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    time: DateTime,
}

impl Reading {
    fn shown_at(&self, moment: Instant) -> DateTime {
        later(self.time, moment.saturating_duration_since(self.at))
    }
}

impl Clock {
    /// The server's time, or a little less: never more, so that nothing is taken to be over that is not. `None`: the server has
    /// not been asked yet.
    pub(crate) fn now(&self) -> Option<DateTime> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.reading.map(|reading| reading.shown_at(Instant::now()))
    }

    /// By how much our own clock is ahead of the server's, milliseconds, as far as that is certain. `None`: the server has not been
    /// asked yet.
    pub(crate) fn offset(&self) -> Option<i64> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.reading.map(|_| known.offset)
    }

    /// Learns that the server's clock has `shown` a time at some moment after it was `asked`, and not later than now. `own`: what
    /// our own clock shows now.
    pub(crate) fn learn(&self, asked: Instant, shown: DateTime, own: DateTime) {
        let now = Instant::now();
        // The server leaves out what is less than a millisecond.
        let latest = later(shown, now.saturating_duration_since(asked) + Duration::from_millis(1));
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // An answer that took long says little. What is known already stays, unless the answer contradicts it.
        let is_right = known.reading.is_some_and(|reading| (shown..=latest).contains(&reading.shown_at(now)));
        if !is_right {
            known.reading = Some(Reading { at: now, time: shown });
        }
        let own = own.timestamp_millis();
        let (least, most) = (own - latest.timestamp_millis(), own - shown.timestamp_millis());
        // Nearest to zero of what is possible.
        known.offset = if least > 0 { least } else { most.min(0) };
        if (known.offset - known.told).abs() >= WORTH_TELLING.max(known.told.abs() / 10) {
            known.told = known.offset;
            tell(known.offset);
        }
    }
}

fn tell(offset: i64) {
    let off_by = Duration::from_millis(offset.unsigned_abs());
    if off_by.as_millis() < u128::from(WORTH_TELLING.unsigned_abs()) {
        tracing::info!("this machine's clock agrees with MongoDB's again");
    } else if offset > 0 {
        tracing::warn!(?off_by, "this machine's clock is fast by MongoDB's, which counts: set it");
    } else {
        tracing::warn!(?off_by, "this machine's clock is slow by MongoDB's, which counts: set it");
    }
}

/// So long after a time.
pub(crate) fn later(time: DateTime, by: Duration) -> DateTime {
    DateTime::from_millis(time.timestamp_millis().saturating_add(milliseconds(by)))
}

/// So long before a time.
pub(crate) fn earlier(time: DateTime, by: Duration) -> DateTime {
    DateTime::from_millis(time.timestamp_millis().saturating_sub(milliseconds(by)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: DateTime = DateTime::from_millis(1_700_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn ago(time: Duration) -> Instant {
        Instant::now().checked_sub(time).expect("a machine that has run for longer")
    }

    /// The clock's time less than `slack` after a time.
    fn assert_shows(clock: &Clock, time: DateTime, slack: Duration) {
        let now = clock.now().expect("a time");
        assert!((time..later(time, slack)).contains(&now), "{now} is not {time}");
    }

    #[test]
    fn our_own_clock_changes_nothing_but_the_offset() {
        for own in [earlier(SHOWN, HOUR * 720), SHOWN, later(SHOWN, HOUR)] {
            let clock = Clock::default();
            assert_eq!((clock.now(), clock.offset()), (None, None));
            clock.learn(ago(Duration::ZERO), SHOWN, own);
            assert_shows(&clock, SHOWN, Duration::from_secs(1));
            let offset = own.timestamp_millis() - SHOWN.timestamp_millis();
            assert!((clock.offset().expect("an offset") - offset).abs() < 1000, "{offset}");
        }
    }

    #[test]
    fn a_slow_answer_moves_nothing_that_it_does_not_contradict() {
        let clock = Clock::default();
        clock.learn(ago(Duration::ZERO), SHOWN, SHOWN);
        // It was asked ten seconds ago, and may have shown this at once.
        let early = earlier(SHOWN, Duration::from_secs(9));
        clock.learn(ago(Duration::from_secs(10)), early, SHOWN);
        assert_shows(&clock, SHOWN, Duration::from_secs(1));
        assert_eq!(clock.offset(), Some(0), "our clock may be right by that answer");
    }

    #[test]
    fn a_server_whose_clock_is_set_is_followed_either_way() {
        let clock = Clock::default();
        for shown in [SHOWN, later(SHOWN, HOUR), earlier(SHOWN, HOUR)] {
            clock.learn(ago(Duration::from_secs(1)), shown, SHOWN);
            assert_shows(&clock, shown, Duration::from_secs(2));
        }
    }

    #[test]
    fn what_a_slow_answer_leaves_open_is_no_offset() {
        for (own, offset) in [(7, 0), (10, 0), (13, 2999), (-4, -4000)] {
            let clock = Clock::default();
            let own = DateTime::from_millis(SHOWN.timestamp_millis() + own * 1000);
            clock.learn(ago(Duration::from_secs(10)), SHOWN, own);
            let found = clock.offset().expect("an offset");
            assert!((offset - 500..=offset).contains(&found), "{found}, not {offset}");
        }
    }
}
