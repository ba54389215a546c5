//! The state of the store, for a scrape. It is the same from every program.

use std::time::Duration;

use messages::Job;
use meters::{Asked, Scrape};
use time::OffsetDateTime;

use crate::counters::Waiting;
use crate::{Error, JobState, QueueAge, Store};

/// What of the store is told in gauges. One a program: the database is asked at most every few seconds, however many scrape.
#[derive(Debug, Default)]
pub struct Gauges(Asked<Measured>);

#[derive(Debug, Clone)]
struct Measured {
    ages: Vec<QueueAge>,
    waiting: Waiting,
    /// When it was, by the server's clock.
    at: OffsetDateTime,
}

impl Gauges {
    /// Sets them. What the database does not say soon is absent.
    pub async fn set(&self, store: &Store, scrape: &Scrape) {
        if let Some(offset) = store.clock_offset() {
            scrape.set(&meters::CLOCK_OFFSET, &["mongodb"], offset as f64 / 1000.0);
        }
        let measured = self.0.ask(async {
            measure(store).await.inspect_err(|cause| tracing::debug!(%cause, "cannot measure the store now")).ok()
        });
        let Some(Measured { ages, waiting, at }) = measured.await else { return };
        for state in JobState::ALL.into_iter().filter(|state| !state.is_finished()) {
            let known = Job::KINDS.iter().map(|kind| Some(*kind));
            // Those of a newer version, if there are any.
            let is_unknown = |age: &QueueAge| age.state == state && Job::kind_in(&age.queue).is_none();
            for kind in known.chain(ages.iter().any(is_unknown).then_some(None)) {
                let of_kind = ages.iter().filter(|age| age.state == state && Job::kind_in(&age.queue) == kind);
                let (mut count, mut waited) = (0, Duration::ZERO);
                for age in of_kind {
                    count += age.count;
                    waited = waited.max(Duration::try_from(at - age.waiting_since).unwrap_or_default());
                }
                let labels = [kind.unwrap_or_default(), state.as_str()];
                scrape.count(&meters::JOBS, &labels, count);
                scrape.set(&meters::OLDEST_JOB_AGE, &labels, waited.as_secs_f64());
            }
        }
        let unpublished = ages.iter().filter(|age| age.state == JobState::Pending).map(|age| age.count).sum();
        scrape.count(&meters::JOBS_UNPUBLISHED, &[], unpublished);
        scrape.count(&meters::CHANNELS_DIRTY, &[], waiting.dirty);
        let lag = waiting.oldest.and_then(|oldest| Duration::try_from(at - oldest).ok());
        scrape.set(&meters::RECOMPUTE_LAG, &[], lag.unwrap_or_default().as_secs_f64());
    }
}

async fn measure(store: &Store) -> Result<Measured, Error> {
    let (jobs, counters) = (store.jobs(), store.counters());
    let (ages, waiting) = tokio::try_join!(jobs.queue_ages(), counters.waiting())?;
    Ok(Measured { ages, waiting, at: store.now().await? })
}
