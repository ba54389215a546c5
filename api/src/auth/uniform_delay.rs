//! Refusals that take the same time, whatever was wrong.
//!
//! How long a password takes to check depends on how it was hashed: one that the original stored (bcrypt) takes about twice
//! as long as one of ours, so a fast refusal would tell that there is no such user. Doing the work of both for everybody would
//! halve how many can sign in; waiting costs nothing.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// When a sign-in began, and in which steps it may be refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UniformDelay {
    began: Instant,
    step: Duration,
}

impl UniformDelay {
    /// Begins now. A step of zero refuses at once.
    pub(crate) fn begin(step: Duration) -> Self {
        Self { began: Instant::now(), step }
    }

    /// Waits until a whole number of steps is over since the beginning: one, unless the work took longer. `queued` does not
    /// count: so long the work was not begun, for everybody alike. No thread of the pool is held meanwhile.
    pub(crate) async fn wait(self, queued: Duration) {
        let began = self.began + queued;
        let steps = began.elapsed().as_nanos().div_ceil(self.step.as_nanos().max(1)).max(1);
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        if let Some(end) = self.step.checked_mul(steps).and_then(|time| began.checked_add(time)) {
            sleep_until(end).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const STEP: Duration = Duration::from_millis(250);

    /// How long a refusal takes whose password waited for a thread and was then checked.
    async fn refused_after(step: Duration, queued: u64, checking: u64) -> Duration {
        let (began, even) = (Instant::now(), UniformDelay::begin(step));
        advance(Duration::from_millis(queued + checking)).await;
        even.wait(Duration::from_millis(queued)).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_a_check_takes_the_refusal_comes_at_the_same_time() {
        // Nobody, Argon2 and bcrypt; and a hash that cannot be read, which takes no time at all.
        for checking in [0, 1, 30, 70, 249, 250] {
            assert_eq!(refused_after(STEP, 0, checking).await, STEP, "{checking} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_longer_is_refused_a_whole_step_later() {
        for (checking, steps) in [(251, 2), (280, 2), (500, 2), (501, 3)] {
            assert_eq!(refused_after(STEP, 0, checking).await, STEP * steps, "{checking} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_a_thread_comes_on_top_for_everybody() {
        for checking in [1, 30, 70] {
            assert_eq!(refused_after(STEP, 900, checking).await, Duration::from_millis(900) + STEP, "{checking} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_step_nothing_is_waited_for() {
        assert_eq!(refused_after(Duration::ZERO, 0, 30).await, Duration::from_millis(30));
    }
}
