//! Refusals that take the same time, whatever was wrong.
//!
//! A password hashed by chai-backend (bcrypt) takes about twice as long to check as one of ours. So a fast refusal
//! would tell that there is no such user. Checking both for everybody would halve the number of sign-ins; waiting costs
//! nothing.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// When a sign-in began, and the steps in which it may be refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UniformDelay {
    began: Instant,
    step: Duration,
}

impl UniformDelay {
    /// A step of zero refuses at once.
    pub(crate) fn begin(step: Duration) -> Self {
        Self { began: Instant::now(), step }
    }

    /// Waits until a whole number of steps has passed since the beginning: one, unless the work took longer. The time
    /// in the queue, `queued`, comes on top: it is the same for everybody. The wait holds no thread of the pool.
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

    /// The time until a refusal, for a password that waited for a thread and was then checked.
    async fn refused_after(step: Duration, queued: u64, checking: u64) -> Duration {
        let (began, delay) = (Instant::now(), UniformDelay::begin(step));
        advance(Duration::from_millis(queued + checking)).await;
        delay.wait(Duration::from_millis(queued)).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_a_check_takes_the_refusal_comes_at_the_same_time() {
        // Nobody, Argon2, bcrypt, and a hash that cannot be read, which takes no time.
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
