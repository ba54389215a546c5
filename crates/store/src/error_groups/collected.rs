//! Failures on their way into their groups: counted here, and written once a second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bson::{Document, doc};

use super::{ErrorGroupId, ErrorGroups, KEPT, Sighting};
use crate::Error;
use crate::codec::after;

/// How long failures are counted before they are written.
const PAUSE: Duration = Duration::from_secs(1);
/// Groups that are counted at once. Of a failure of yet another one only its job tells.
const MOST: usize = 1_000;
/// How long the server may take to write them.
const WRITE: Duration = Duration::from_secs(5);

/// Failures that are not yet written.
#[derive(Debug, Default)]
pub(super) struct Collected(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    groups: HashMap<ErrorGroupId, Count>,
    /// Whether somebody writes them.
    is_written: bool,
}

#[derive(Debug)]
struct Count {
    count: i64,
    /// The latest.
    example: Sighting,
}

impl Collected {
    /// Counts a failure. Whether nobody writes it unless the caller does.
    fn add(&self, sighting: Sighting) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let group = sighting.group;
        if counts.groups.len() >= MOST && !counts.groups.contains_key(&group) {
            return false;
        }
        let before = counts.groups.get(&group).map_or(0, |count| count.count);
        counts.groups.insert(group, Count { count: before + 1, example: sighting });
        !std::mem::replace(&mut counts.is_written, true)
    }

    fn take(&self) -> HashMap<ErrorGroupId, Count> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).groups)
    }

    /// Whether there is nothing more to write, so that whoever counts the next one has it written.
    fn is_done(&self) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_done = counts.groups.is_empty();
        counts.is_written = !is_done;
        is_done
    }
}

impl ErrorGroups {
    /// Counts a failure in its group: in memory, and in the database at once if none was written for a second, and otherwise when that is
    /// over.
    pub(crate) fn note(&self, sighting: Sighting) {
        if !self.collected.add(sighting) {
            return;
        }
        let groups = self.clone();
        tokio::spawn(async move {
            loop {
                groups.flush().await;
                tokio::time::sleep(PAUSE).await;
                if groups.collected.is_done() {
                    return;
                }
            }
        });
    }

    /// Writes what is counted. What the database does not take is forgotten: it is a number for people.
    pub(crate) async fn flush(&self) {
        let counts = self.collected.take();
        if counts.is_empty() {
            return;
        }
        let number = counts.len();
        match self.write(counts).await {
            Ok(true) => {}
            Ok(false) => tracing::debug!(number, "the database takes too long to count failures"),
            Err(cause) => tracing::debug!(number, %cause, "failures are not counted"),
        }
    }

    async fn write(&self, counts: HashMap<ErrorGroupId, Count>) -> Result<bool, Error> {
        let statements = counts.into_iter().map(|(group, count)| {
            doc! { "q": { "_id": group.to_string() }, "u": [{ "$set": count.set() }], "upsert": true }
        });
        self.connection.update_each(&self.documents, statements.collect(), WRITE).await
    }
}

impl Count {
    fn set(self) -> Document {
        let Self { count, example: Sighting { kind, code, status, message, job, error, worker, .. } } = self;
        let mut example = doc! { "job": job.to_string(), "error": { "$literal": error } };
        example.extend(worker.map(|worker| ("worker".to_owned(), doc! { "$literal": worker }.into())));
        let mut set = doc! {
            "kind": { "$literal": kind },
            "code": code,
            "message": { "$literal": message },
            "count": { "$add": [{ "$ifNull": ["$count", 0_i64] }, count] },
            "firstSeen": { "$ifNull": ["$firstSeen", "$$NOW"] },
            "lastSeen": "$$NOW",
            "example": example,
            "expireAt": after(KEPT),
        };
        set.extend(status.map(|status| ("status".to_owned(), i32::from(status).into())));
        set
    }
}

#[cfg(test)]
mod tests {
    use messages::JobId;

    use super::*;

    fn failure(number: usize) -> Sighting {
        // A word of letters, as numbers do not count.
        let word = number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect::<String>();
        Sighting::new("media.upload.v1", "defect", None, &word, JobId::new(), None)
    }

    #[test]
    fn one_writes_for_all_until_nothing_is_left() {
        let collected = Collected::default();
        assert!(collected.add(failure(1)));
        assert!(!collected.add(failure(1)) && !collected.add(failure(2)));
        let counts = collected.take();
        assert_eq!((counts.len(), counts[&failure(1).group].count), (2, 2));
        assert!(!collected.add(failure(3)));
        assert!(!collected.is_done());
        collected.take();
        assert!(collected.is_done());
        assert!(collected.add(failure(4)));
    }

    #[test]
    fn a_storm_of_groups_is_bounded_and_those_known_are_counted_on() {
        let collected = Collected::default();
        for number in 0..2 * MOST {
            collected.add(failure(number));
        }
        collected.add(failure(7));
        let counts = collected.take();
        assert_eq!((counts.len(), counts[&failure(7).group].count), (MOST, 2));
    }
}
