//! Waiting in place for a database that does not answer. Delays between the attempts of a job are another matter: `retry`.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Growing pauses until a limit of time is reached.
#[derive(Debug)]
pub(crate) struct Patience {
    until: Option<Instant>,
    pause: Duration,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { until: Instant::now().checked_add(limit), pause: FIRST }
    }

    /// Pauses, a little longer every time. `false`, at once: the limit is reached.
    pub(crate) async fn wait(&mut self) -> bool {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_the_limit() {
        let begin = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(60));
        let mut pauses = 0;
        while patience.wait().await {
            pauses += 1;
        }
        assert!((60..=65).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
        assert!((15..=20).contains(&pauses), "{pauses}");
    }
}
