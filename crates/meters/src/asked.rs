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
    /// The answer, unless it was asked for a moment ago: then that of the time. `None`: there was none within three seconds. Whoever
    /// comes meanwhile gets the same one. Who gives up meanwhile has asked all the same.
    pub async fn ask(&self, question: impl Future<Output = Option<T>>) -> Option<T> {
        let mut kept = self.0.lock().await;
        if kept.until.is_none_or(|until| until <= Instant::now()) {
            let asked = Instant::now();
            (kept.answer, kept.until) = (None, Some(asked + EVERY));
            kept.answer = timeout(LIMIT, question).await.ok().flatten();
            // What is not answered may cost the most.
            kept.until = Some(Instant::now() + EVERY.max(asked.elapsed() * TIMES_COST));
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
    async fn who_does_not_answer_is_waited_for_briefly_and_left_alone_for_a_minute() {
        let asked = Asked::<u32>::default();
        let begun = Instant::now();
        assert_eq!(asked.ask(pending()).await, None);
        assert_eq!(begun.elapsed(), LIMIT);
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(asked.ask(ready(Some(1))).await, None, "it took too long");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(asked.ask(ready(Some(1))).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_at_once_that_there_is_no_answer_is_asked_again_soon() {
        let asked = Asked::<u32>::default();
        assert_eq!(asked.ask(ready(None)).await, None);
        tokio::time::sleep(EVERY).await;
        assert_eq!(asked.ask(ready(Some(1))).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_give_up_ask_no_more_often_than_others() {
        let asked = Asked::<u32>::default();
        assert!(timeout(LIMIT / 2, asked.ask(pending())).await.is_err(), "it came back too early");
        assert_eq!(asked.ask(ready(Some(1))).await, None, "a moment ago somebody asked");
        tokio::time::sleep(EVERY).await;
        assert_eq!(asked.ask(ready(Some(1))).await, Some(1));
    }
}
