//! Asking others for what a scrape tells.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// However many scrape, nobody is asked more often.
const EVERY: Duration = Duration::from_secs(5);
/// An answer that took long is kept for this many times as long: asking then costs a twentieth of a core at the most.
const TIMES_COST: u32 = 20;
/// How long an answer is waited for. Prometheus waits for ten seconds.
const LIMIT: Duration = Duration::from_secs(3);

/// An answer that is kept for a while.
#[derive(Debug)]
pub struct Asked<T>(Mutex<Kept<T>>);

#[derive(Debug)]
struct Kept<T> {
    answer: Option<T>,
    until: Option<Instant>,
}

impl<T> Default for Asked<T> {
    fn default() -> Self {
        Self(Mutex::new(Kept { answer: None, until: None }))
    }
}

impl<T: Clone> Asked<T> {
    /// The answer, unless it was asked for a moment ago: then that of the time. `None`: there was none within three seconds.
    /// Whoever comes meanwhile gets the same one.
    pub async fn ask(&self, question: impl Future<Output = Option<T>>) -> Option<T> {
        let mut kept = self.0.lock().await;
        if kept.until.is_none_or(|until| until <= Instant::now()) {
            let asked = Instant::now();
            kept.answer = timeout(LIMIT, question).await.ok().flatten();
            let took = if kept.answer.is_some() { asked.elapsed() } else { Duration::ZERO };
            kept.until = Some(Instant::now() + EVERY.max(took * TIMES_COST));
        }
        kept.answer.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn however_many_scrape_one_asks_and_what_took_long_is_kept_for_long() {
        let (asked, count) = (Asked::default(), AtomicU32::new(0));
        let question = |takes: u64| {
            let count = &count;
            async move {
                tokio::time::sleep(Duration::from_secs(takes)).await;
                Some(count.fetch_add(1, Ordering::Relaxed) + 1)
            }
        };
        let (one, other) = tokio::join!(asked.ask(question(0)), asked.ask(question(0)));
        assert_eq!((one, other), (Some(1), Some(1)));
        tokio::time::sleep(EVERY).await;
        assert_eq!(asked.ask(question(2)).await, Some(2));
        tokio::time::sleep(Duration::from_secs(39)).await;
        assert_eq!(asked.ask(question(0)).await, Some(2));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(asked.ask(question(0)).await, Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_waited_for_briefly_and_asked_again_soon() {
        let asked = Asked::<u32>::default();
        let begun = Instant::now();
        assert_eq!(asked.ask(pending()).await, None);
        assert_eq!(begun.elapsed(), LIMIT);
        assert_eq!(asked.ask(ready(Some(1))).await, None, "a moment ago it did not answer");
        tokio::time::sleep(EVERY).await;
        assert_eq!(asked.ask(ready(Some(1))).await, Some(1));
    }
}
