//! Parsers for clap that check a range: durations and whole numbers. Every program reads them alike.

use std::ops::{Bound, RangeBounds};
use std::time::Duration;

// For ranges: `duration(5 * SECOND..=5 * MINUTE)`.
pub const MILLISECOND: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(60 * 60);
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Ten years, as `humantime` counts them. No duration may be longer: sums with times of day must not overflow.
pub const LONGEST: Duration = Duration::from_secs(10 * 31_557_600);

/// Reads `500ms`, `90s`, `15m`, `1h 30m`, `10d` (the syntax of `humantime`), or a number of seconds without a unit.
/// Takes what lies in `range` and is no longer than [`LONGEST`].
pub fn duration(
    range: impl RangeBounds<Duration> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        read_duration(text).filter(|time| range.contains(time) && *time <= LONGEST).ok_or_else(|| {
            let range = described(&range, |time| humantime::format_duration(*time).to_string());
            format!("expected a duration{range}, written like 90s, 15m or 1h 30m")
        })
    }
}

fn read_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    }
}

/// Reads a whole number that lies in `range` and fits into `T`, which has to be named: `number::<u16>(1..=100)`.
pub fn number<T: TryFrom<u64>>(
    range: impl RangeBounds<u64> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.trim().parse().ok().filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            let range = described(&range, u64::to_string);
            format!("expected a whole number{range}")
        })
    }
}

/// ` from 1 to 9`, ` of at least 1`, ` of at most 9`, or nothing.
fn described<T>(range: &impl RangeBounds<T>, show: impl Fn(&T) -> String) -> String {
    let least = match range.start_bound() {
        Bound::Included(least) => Some(show(least)),
        Bound::Excluded(below) => Some(format!("more than {}", show(below))),
        Bound::Unbounded => None,
    };
    let most = match range.end_bound() {
        Bound::Included(most) => Some(show(most)),
        Bound::Excluded(above) => Some(format!("less than {}", show(above))),
        Bound::Unbounded => None,
    };
    match (least, most) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" of at least {least}"),
        (None, Some(most)) => format!(" of at most {most}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them_and_as_every_program_read_them_before() {
        let read = duration(..);
        for (text, milliseconds) in [
            ("500ms", 500),
            ("1000ms", 1000),
            ("90s", 90_000),
            ("20m", 1_200_000),
            ("15m", 900_000),
            ("60m", 3_600_000),
            ("24h", 86_400_000),
            ("1d", 86_400_000),
            ("2w", 1_209_600_000),
            (" 10 h ", 36_000_000),
            ("1h 30min", 5_400_000),
            ("1h30m", 5_400_000),
            ("90", 90_000),
            ("0.5", 500),
            ("0", 0),
            ("0s", 0),
            ("10years", 315_576_000_000),
        ] {
            assert_eq!(read(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        let read = duration(..);
        for text in ["", "s", "d", "-1s", "-1", "30x", "soon", "1 fortnight", "NaN", "inf", "11years"] {
            assert!(read(text).is_err(), "{text}");
        }
        for text in ["99999999999w", "99999999999999999999s", "18446744073709551615h", "1e300"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_lies_outside_the_range_is_refused_with_the_range() {
        let like = "written like 90s, 15m or 1h 30m";
        let lease = duration(5 * SECOND..=5 * MINUTE);
        assert_eq!(lease("5s"), Ok(5 * SECOND));
        assert_eq!(lease("5m"), Ok(5 * MINUTE));
        for text in ["4999ms", "301s", "0s", "soon"] {
            assert_eq!(lease(text), Err(format!("expected a duration from 5s to 5m, {like}")), "{text}");
        }
        assert_eq!(duration(MILLISECOND..)("0s"), Err(format!("expected a duration of at least 1ms, {like}")));
        assert_eq!(duration(..=7 * DAY)("8d"), Err(format!("expected a duration of at most 7days, {like}")));
        assert_eq!(duration(..)("soon"), Err(format!("expected a duration, {like}")));
    }

    #[test]
    fn numbers_are_read_and_refused_with_their_range() {
        assert_eq!(number::<usize>(1..)("1"), Ok(1));
        assert_eq!(number::<usize>(1..)("0"), Err("expected a whole number of at least 1".to_owned()));
        assert_eq!(number::<u16>(1..=9)("10"), Err("expected a whole number from 1 to 9".to_owned()));
        assert_eq!(number::<u16>(1..10)("10"), Err("expected a whole number from 1 to less than 10".to_owned()));
        assert_eq!(number::<u16>(..=65_535)("70000"), Err("expected a whole number of at most 65535".to_owned()));
        assert_eq!(number::<u64>(..)("10MB"), Err("expected a whole number".to_owned()));
    }

    #[derive(Debug, Parser)]
    struct Args {
        #[arg(long, env = "TEST_LEASE", default_value = "30s", value_parser = duration(5 * SECOND..=5 * MINUTE))]
        lease: Duration,
        #[arg(long, env = "TEST_THREADS", default_value_t = 4, value_parser = number::<usize>(1..))]
        threads: usize,
    }

    #[test]
    fn clap_takes_them_and_a_wrong_value_becomes_one_line() {
        let args = Args::try_parse_from(["program", "--threads=2"]).expect("arguments");
        assert_eq!((args.lease, args.threads), (30 * SECOND, 2));
        for (argument, line) in [
            (
                "--lease=1s",
                "TEST_LEASE: expected a duration from 5s to 5m, written like 90s, 15m or 1h 30m, not \"1s\"",
            ),
            ("--threads=0", "TEST_THREADS: expected a whole number of at least 1, not \"0\""),
        ] {
            let error = Args::try_parse_from(["program", argument]).expect_err(argument);
            assert_eq!(crate::explain::<Args>(&error), line);
        }
    }
}
