//! What dead letters are about, and sending them back to the queues of their jobs.

use messages::Envelope;

use super::DeadLetter;
use crate::{Admin, Error, Publisher};

/// Which dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// The one of an id; a crash may have left two copies of it.
    Of(&'a str),
    /// All that are there now.
    All,
}

/// What has become of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// It is in this queue, and here no more.
    To(String),
    /// This version cannot read it, so it stays.
    Left,
}

impl DeadLetter {
    /// The kind as the body says, or else as its sender wrote on the outside.
    pub fn kind(&self) -> Option<String> {
        match Envelope::decode(&self.body) {
            Ok(envelope) => Some(envelope.job.kind().to_owned()),
            Err(_) => self.kind.clone(),
        }
    }

    /// What this version reads in it, or why it cannot, in words.
    pub fn reads_as(&self) -> String {
        match Envelope::decode(&self.body) {
            Ok(envelope) => format!("job {} of kind {}", envelope.job_id, envelope.job.kind()),
            Err(cause) => cause.to_string(),
        }
    }

    /// The queue of the letter's job. One that cannot be read belongs to no job: it goes, if it is `forced`, to where it came from.
    fn destination(&self, forced: bool) -> Option<String> {
        match Envelope::decode(&self.body) {
            Ok(envelope) => Some(envelope.job.queue()),
            Err(_) => Some(self.queue.clone()).filter(|queue| forced && !queue.is_empty()),
        }
    }
}

impl Admin {
    /// The dead letter of an id. It stays.
    pub async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, Error> {
        let mut queue = self.dead_queue().await?;
        let found = loop {
            match queue.next().await? {
                Some(letter) if letter.id != id => {}
                found => break found,
            }
        };
        queue.close().await?;
        Ok(found)
    }

    /// Publishes dead letters to the queues of their jobs, and removes each once the broker has confirmed it. `forced`: also those that
    /// this version cannot read, to where they came from. `told` learns what has become of each, also of those before an error, and
    /// says whether to go on. What dies again meanwhile is not replayed once more.
    pub async fn replay_dead(
        &self,
        publisher: &Publisher,
        which: Which<'_>,
        forced: bool,
        mut told: impl FnMut(&DeadLetter, Replayed) -> bool,
    ) -> Result<(), Error> {
        // What dies again is behind these.
        let there = self.dead_depth().await?.unwrap_or(0);
        let mut queue = self.dead_queue().await?;
        for _ in 0..there {
            let Some(letter) = queue.next().await? else { break };
            if let Which::Of(id) = which
                && letter.id != id
            {
                continue;
            }
            let replayed = match letter.destination(forced) {
                Some(to) => {
                    queue.replay(&to, publisher).await?;
                    Replayed::To(to)
                }
                None => Replayed::Left,
            };
            if !told(&letter, replayed) {
                break;
            }
        }
        queue.close().await
    }
}
