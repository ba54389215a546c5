//! How long jobs took, counted in classes whose bounds grow by a fixed factor: percentiles of any number of jobs over any time, from a
//! few numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::{Document, doc};
use serde::{Deserialize, Serialize};

/// Three classes double: each bound is 1.26 times the one before.
const PER_DOUBLING: u32 = 3;
/// The last class: all that took longer than 2^26.67 ms, which is 29 hours.
pub(super) const LAST: u32 = 81;

/// How many took how long. Class 0 is up to a millisecond; class `n` is more than `2^((n-1)/3)` ms, up to `2^(n/3)` ms. Permanent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies(BTreeMap<String, u64>);

impl Latencies {
    #[cfg(test)]
    pub(super) fn from_counts(counts: impl IntoIterator<Item = (u32, u64)>) -> Self {
        let mut latencies = Self::default();
        counts.into_iter().for_each(|(class, count)| latencies.count(class, count));
        latencies
    }

    pub(super) fn count(&mut self, class: u32, count: u64) {
        if count > 0 {
            *self.0.entry(class.min(LAST).to_string()).or_default() += count;
        }
    }

    pub fn add(&mut self, more: &Self) {
        for (class, count) in &more.0 {
            *self.0.entry(class.clone()).or_default() += count;
        }
    }

    /// How many there are in all.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// How long at most that share of them took (0.95: the 95th percentile), to within a class. None of none.
    ///
    /// Within its class the time is drawn as if the class were evenly filled on a logarithmic scale.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        // The names of classes sort as texts.
        let mut classes: Vec<(u32, u64)> =
            self.0.iter().filter_map(|(class, count)| Some((class.parse().ok()?, *count))).collect();
        classes.sort_unstable();
        let wanted = (share.clamp(0.0, 1.0) * total as f64).max(f64::MIN_POSITIVE);
        let mut before = 0_u64;
        for (class, count) in &classes {
            let up_to = before + count;
            if up_to as f64 >= wanted {
                let within = (wanted - before as f64) / *count as f64;
                return Some(at(*class, within));
            }
            before = up_to;
        }
        classes.last().map(|(class, _)| at(*class, 1.0))
    }
}

/// A time within a class: at its lower bound with 0, at its upper one with 1.
fn at(class: u32, within: f64) -> Duration {
    let class = f64::from(class.min(LAST));
    let milliseconds = ((class - 1.0 + within) / f64::from(PER_DOUBLING)).exp2();
    Duration::from_secs_f64(milliseconds.clamp(0.0, 1e9) / 1000.0)
}

/// The class of a number of milliseconds, in the server's expressions.
pub(super) fn class_of(milliseconds: Document) -> Document {
    let log = doc! { "$log": [{ "$max": [1, milliseconds] }, 2] };
    // What is a bound to the last digit belongs to the class that ends with it.
    let exact = doc! { "$round": [{ "$multiply": [log, f64::from(PER_DOUBLING)] }, 9] };
    doc! { "$toInt": { "$min": [i64::from(LAST), { "$ceil": exact }] } }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As [`class_of`] does.
    fn class(milliseconds: f64) -> u32 {
        let exact = milliseconds.max(1.0).log2() * f64::from(PER_DOUBLING);
        (((exact * 1e9).round() / 1e9).ceil() as u32).min(LAST)
    }

    fn of(times: impl IntoIterator<Item = f64>) -> Latencies {
        Latencies::from_counts(times.into_iter().map(|time| (class(time), 1)))
    }

    fn milliseconds(latencies: &Latencies, share: f64) -> f64 {
        latencies.percentile(share).expect("some").as_secs_f64() * 1000.0
    }

    #[test]
    fn the_bounds_grow_by_a_quarter_from_a_millisecond_to_more_than_a_day() {
        for (milliseconds, expected) in [(0.0, 0), (1.0, 0), (1.1, 1), (2.0, 3), (4.0, 6), (1024.0, 30), (1e12, LAST)] {
            assert_eq!(class(milliseconds), expected, "{milliseconds}");
        }
        assert!(at(LAST, 0.0) > Duration::from_secs(24 * 60 * 60));
        for class in 1..LAST {
            let (lower, upper) = (at(class, 0.0).as_secs_f64(), at(class, 1.0).as_secs_f64());
            assert!((1.25..1.27).contains(&(upper / lower)), "class {class}: {lower} to {upper}");
        }
    }

    #[test]
    fn a_percentile_is_within_a_class_of_what_it_is() {
        // 1 ms to 100 s, as many in each decade.
        let times: Vec<f64> = (0..10_000).map(|number| 10_f64.powf(f64::from(number) / 2_000.0)).collect();
        let latencies = of(times.iter().copied());
        assert_eq!(latencies.total(), 10_000);
        for (share, place) in [(0.5, 5_000), (0.95, 9_500), (0.99, 9_900)] {
            let (told, exact) = (milliseconds(&latencies, share), times[place]);
            assert!((0.79..1.27).contains(&(told / exact)), "{share}: {told} is not {exact}");
        }
        // One that took long is the last percentile of few, and of none of many.
        let few = of([10.0, 10.0, 10.0, 5_000.0]);
        assert!(milliseconds(&few, 0.99) > 3_900.0 && milliseconds(&few, 0.5) < 13.0);
        let many = of(std::iter::repeat_n(10.0, 1_000).chain([5_000.0]));
        assert!(milliseconds(&many, 0.99) < 13.0);
    }

    #[test]
    fn percentiles_of_parts_added_up_are_those_of_the_whole() {
        let (one, other) = (of((1..500).map(f64::from)), of((500..9_000).map(f64::from)));
        let whole = of((1..9_000).map(f64::from));
        let mut sum = one.clone();
        sum.add(&other);
        assert_eq!(sum, whole);
        assert!(sum.percentile(0.5) > one.percentile(0.5));
    }

    #[test]
    fn nothing_has_no_percentile_and_one_has_all_of_them() {
        assert_eq!(Latencies::default().percentile(0.5), None);
        let one = of([100.0]);
        for share in [0.0, 0.5, 1.0] {
            assert!((79.0..102.0).contains(&milliseconds(&one, share)), "{share}: {}", milliseconds(&one, share));
        }
    }
}
