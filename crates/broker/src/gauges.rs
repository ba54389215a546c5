//! How the broker is, for a scrape.

use meters::{Asked, Scrape};

use crate::{Publisher, PublisherStatus};

/// What of the broker is told in gauges. One a program.
#[derive(Debug, Default)]
pub struct Gauges {
    dead_letters: Asked<u32>,
}

impl Gauges {
    /// Sets them. What the broker does not say soon is absent.
    pub async fn set(&self, publisher: &Publisher, scrape: &Scrape) {
        let status = publisher.status();
        let is_up = !matches!(status, PublisherStatus::Disconnected { .. });
        scrape.flag(&meters::BROKER_UP, &[], is_up);
        scrape.flag(&meters::BROKER_BLOCKED, &[], status == PublisherStatus::Blocked);
        if let Some(count) = self.dead_letters(publisher).await {
            scrape.count(&meters::DEAD_LETTERS, &[], count.into());
        }
    }

    /// Dead letters that nobody looks at, a few seconds ago at most, however many ask. `None`: the broker does not say.
    pub async fn dead_letters(&self, publisher: &Publisher) -> Option<u32> {
        self.dead_letters.ask(publisher.dead_letters()).await
    }
}
