//! When a failed job is tried again, and how long to wait in place for a database that does not answer.
//!
//! The only place that knows the crate `backoff`; docs/decisions.md says why.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use backon::{BackoffBuilder, ExponentialBuilder};
use program::{DAY, HOUR, MILLISECOND, duration};
use tokio::time::Instant;

use crate::context::Context;
use crate::error::in_full;

/// Delays between the attempts of one job.
///
/// With the defaults the delays between the store's 150 attempts sum to more than a day but for one job in 500 million, so a job
/// outlives a day's outage of Cloudinary; and never to more than 70 h, so a user learns within three days of a discarded upload.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct RetryPolicy {
    /// Upper bound of the delay before the second attempt; it doubles with every further one
    #[arg(
        id = "retry_base", long = "retry-base", env = "WORKER_RETRY_BASE", value_name = "TIME", default_value = "1s",
        value_parser = duration(MILLISECOND..=HOUR)
    )]
    pub base: Duration,
    /// Upper bound of the delay before any attempt
    #[arg(
        id = "retry_cap", long = "retry-cap", env = "WORKER_RETRY_CAP", value_name = "TIME", default_value = "30m",
        value_parser = duration(MILLISECOND..=DAY)
    )]
    pub cap: Duration,
    /// Middle of the first delay after an operator error, which costs the job no attempt.
    #[arg(skip = Duration::from_secs(30))]
    pub operator_base: Duration,
    /// Middle of the longest delay after operator errors.
    #[arg(skip = Duration::from_secs(5 * 60))]
    pub operator_cap: Duration,
}

/// However late a media host asks us to come back, we ask again after a day: its clock, or the text that we read it from,
/// may be wrong, and asking once a day hurts nobody.
const LONGEST_HINT: Duration = Duration::from_secs(24 * 60 * 60);

/// Doubling reaches any cap within so many steps, even from a millisecond.
const STEPS: u32 = 64;

impl RetryPolicy {
    /// How long to wait after a transient failure, when `failures` came before it: uniform between nothing and
    /// `min(cap, base * 2^failures)` ("full jitter", so that jobs which failed together do not come back together).
    ///
    /// A hint by the server (`Retry-After`, a rate limit's reset) is honoured: never sooner than it, and later by at most a
    /// tenth of it or `base`, whichever is more.
    pub fn after_failure(&self, failures: u32, hint: Option<Duration>) -> Duration {
        match hint {
            Some(hint) => {
                let hint = hint.min(LONGEST_HINT);
                hint + full_jitter(self.base.max(hint / 10), self.base.max(hint / 10), 0)
            }
            None => full_jitter(self.base, self.cap, failures),
        }
    }

    /// How long to wait after an error that an operator has to mend (a wrong secret), when `before` such errors came right
    /// before it: half to one and a half times `min(operator_cap, operator_base * 2^before)`. Never at once, because asking
    /// faster mends nothing; never much longer than the cap, because work goes on by itself once it is mended.
    pub fn after_operator_error(&self, before: u32, hint: Option<Duration>) -> Duration {
        let drawn = draw(self.operator_base, self.operator_cap, 0.5, before);
        drawn.max(hint.unwrap_or_default().min(LONGEST_HINT))
    }
}

/// Uniform between nothing and `min(cap, base * 2^steps)`.
///
/// `backoff` draws around its interval; with a factor of 1 around half of the bound, that is from nothing to the bound.
fn full_jitter(base: Duration, cap: Duration, steps: u32) -> Duration {
    draw(base / 2, cap / 2, 1.0, steps)
}

fn draw(base: Duration, cap: Duration, factor: f64, steps: u32) -> Duration {
    let mut delays: ExponentialBackoff = ExponentialBackoffBuilder::new()
        .with_initial_interval(base.min(cap))
        .with_max_interval(cap)
        .with_multiplier(2.0)
        .with_randomization_factor(factor)
        .with_max_elapsed_time(None)
        .build();
    for _ in 0..steps.min(STEPS) {
        delays.next_backoff();
    }
    // Without a maximum of elapsed time there is always a next one.
    delays.next_backoff().unwrap_or(cap)
}

/// Growing pauses in place, for a limited time.
#[derive(Debug)]
pub(crate) struct Waits {
    until: Option<Instant>,
    pauses: backon::ExponentialBackoff,
}

impl Waits {
    pub(crate) fn until(limit: Duration) -> Self {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .without_max_times();
        Self { until: Instant::now().checked_add(limit), pauses: pauses.build() }
    }

    /// Pauses, a little longer every time. `false`, at once: the time is up.
    pub(crate) async fn next(&mut self) -> bool {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return false;
        }
        let Some(pause) = self.pauses.next() else { return false };
        tokio::time::sleep(pause).await;
        true
    }
}

/// Asks the database, again while it does not answer, until the delivery has waited for long enough.
pub(crate) async fn patiently<T, A>(context: &Context, ask: impl Fn() -> A) -> Result<T, store::Error>
where
    A: Future<Output = Result<T, store::Error>>,
{
    let mut waits = Waits::until(context.settings.database_patience);
    loop {
        let cause = match ask().await {
            Err(cause) if cause.is_transient() => cause,
            answered => return answered,
        };
        tracing::warn!(cause = in_full(&cause), "waiting for the database");
        if !waits.next().await {
            return Err(cause);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Settings;

    const DAY: f64 = 24.0 * 60.0 * 60.0;

    fn bound(policy: &RetryPolicy, failures: u32) -> Duration {
        policy.base.saturating_mul(2_u32.saturating_pow(failures)).min(policy.cap)
    }

    proptest! {
        #[test]
        fn a_delay_is_never_longer_than_its_bound(failures in 0_u32..1000, base_ms in 1_u64..10_000, cap_ms in 1_u64..10_000_000) {
            let policy = RetryPolicy {
                base: Duration::from_millis(base_ms.min(cap_ms)),
                cap: Duration::from_millis(cap_ms),
                ..Settings::default().retry
            };
            let delay = policy.after_failure(failures, None);
            // `backoff` rounds up by at most a nanosecond.
            prop_assert!(delay <= bound(&policy, failures) + Duration::from_nanos(1), "{delay:?}");
        }

        #[test]
        fn a_hint_is_honoured_and_not_overdone(failures in 0_u32..1000, hint in 0_u64..86_400) {
            let policy = Settings::default().retry;
            let hint = Duration::from_secs(hint);
            let delay = policy.after_failure(failures, Some(hint));
            prop_assert!(delay >= hint);
            prop_assert!(delay <= hint + policy.base.max(hint / 10) + Duration::from_nanos(1));
        }

        #[test]
        fn an_operator_error_is_retried_slowly_but_not_too_slowly(before in 0_u32..1000) {
            let policy = Settings::default().retry;
            let delay = policy.after_operator_error(before, None);
            prop_assert!(delay >= policy.operator_base / 2);
            prop_assert!(delay <= policy.operator_cap * 3 / 2 + Duration::from_nanos(1));
        }
    }

    #[test]
    fn jitter_is_full() {
        let policy = Settings::default().retry;
        for failures in [0, 5, 11, 149] {
            let bound = bound(&policy, failures);
            let drawn: Vec<Duration> = (0..4000).map(|_| policy.after_failure(failures, None)).collect();
            // Uniform draws miss a tenth of the range 4000 times in a row with probability 0.9^4000.
            for tenth in 0..10 {
                let (from, to) = (bound * tenth / 10, bound * (tenth + 1) / 10);
                let share = drawn.iter().filter(|delay| (from..=to).contains(*delay)).count();
                assert!((200..=600).contains(&share), "{share} of 4000 draws in {from:?}..{to:?}");
            }
        }
    }

    #[test]
    fn a_job_outlives_a_days_outage() {
        let policy = Settings::default().retry;
        let bounds: Vec<f64> = (0..store::Config::DEFAULT_MAX_ATTEMPTS - 1)
            .map(|failures| bound(&policy, failures).as_secs_f64())
            .collect();
        let longest: f64 = bounds.iter().sum();
        let expected = longest / 2.0;
        // A uniform variable of width c is sub-Gaussian with variance c^2/12, so P(sum <= mean - t) <= exp(-6 t^2 / sum c^2).
        let squares: f64 = bounds.iter().map(|bound| bound * bound).sum();
        let margin = expected - DAY;
        let shorter_than_a_day = (-6.0 * margin * margin / squares).exp();
        assert!(margin > 0.0);
        assert!(shorter_than_a_day < 2e-9, "{shorter_than_a_day:e}");
        assert!((34.0..36.0).contains(&(expected / 3600.0)), "{}", expected / 3600.0);
        assert!(longest < 3.0 * DAY);

        let drawn: Duration =
            (0..store::Config::DEFAULT_MAX_ATTEMPTS - 1).map(|failures| policy.after_failure(failures, None)).sum();
        assert!(drawn.as_secs_f64() > DAY && drawn.as_secs_f64() <= longest + 1.0);
    }

    #[test]
    fn a_webhook_is_tried_for_about_a_day() {
        let policy = Settings::default().webhook_retry;
        let bounds = (0..store::Webhooks::MAX_ATTEMPTS - 1).map(|failures| bound(&policy, failures).as_secs_f64());
        let longest: f64 = bounds.sum();
        assert!((20.0..26.0).contains(&(longest / 2.0 / 3600.0)), "{}", longest / 2.0 / 3600.0);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_in_place_grow_until_the_limit() {
        let begin = Instant::now();
        let mut waits = Waits::until(Duration::from_secs(60));
        let mut pauses = 0;
        while waits.next().await {
            pauses += 1;
        }
        assert!((60..=65).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
        assert!((15..=20).contains(&pauses), "{pauses}");
    }

    #[test]
    fn a_reset_in_the_far_future_is_not_believed() {
        let policy = Settings::default().retry;
        assert!(policy.after_failure(0, Some(Duration::MAX)) <= LONGEST_HINT * 11 / 10 + Duration::from_secs(1));
        assert!(policy.after_operator_error(0, Some(Duration::MAX)) <= LONGEST_HINT);
    }
}
