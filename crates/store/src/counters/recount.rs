//! Counting a subject at one moment, outside of any transaction, so that it may take as long as there is much to count; and
//! joining the numbers into the subject's document in a transaction that takes no longer for much than for little.
//!
//! In between others may do the same. What the document held at the moment of the count is remembered, and numbers are joined
//! only where it still holds that: so an older count never replaces a newer one, whose changes it does not have in it.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use mongodb::ClientSession;
use mongodb::error::ErrorKind;
use tokio::time::{Instant, sleep};

use super::{Counter, CounterKey, Counters, Pace};
use crate::Error;
use crate::codec::{after, milliseconds, whole};
use crate::jobs::Settle;

/// How long counting may take. The server keeps a moment for five minutes, unless it is told otherwise.
const COUNTING: Duration = Duration::from_secs(240);
/// Intents that are read or deleted at a time: an id takes ten times its length in a statement.
const AT_A_TIME: u16 = 2_000;
/// Before the server is asked again for a moment that it does not have.
const AGAIN: Duration = Duration::from_millis(20);

/// A count that is not stored yet.
#[derive(Debug, Clone)]
pub struct Recount {
    key: CounterKey,
    begun: Instant,
    /// Nothing when there is no such subject.
    pub(super) counted: Option<Counted>,
    /// The changes that the count has in it: all that waited at its moment.
    intents: Vec<ObjectId>,
    /// What they add up to, if that was asked for.
    pub(super) waiting: i64,
}

/// What was counted, and what was stored.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub numbers: Numbers,
    /// An instant after the moment that they are of.
    computed_at: DateTime,
    took: Duration,
    /// The subject's document at that moment.
    pub before: Document,
}

/// The numbers of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// The number that intents change.
    pub number: i64,
    /// The number that every change writes at once, if the counter has one.
    pub exact: Option<i64>,
}

/// The value at a path such as `steep.aggregates`.
fn at<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    match path.split_once('.') {
        Some((field, rest)) => at(document.get_document(field).ok()?, rest),
        None => document.get(path),
    }
}

impl Counter {
    fn numbers(&self, result: &Document) -> Option<Numbers> {
        let number = |field: &str| result.get(field).and_then(whole);
        let exact = match &self.exact {
            Some(exact) => Some(number(exact.field)?),
            None => None,
        };
        Some(Numbers { number: number(self.number)?, exact })
    }

    /// The numbers that are stored; none of a subject that nobody has counted.
    pub(super) fn stored(&self, subject: &Document) -> Option<Numbers> {
        let result = at(subject, self.result)?.as_document()?;
        result.get_datetime("computedAt").ok()?;
        self.numbers(result)
    }

    /// A number that is stored, even if nobody has counted the subject.
    fn stored_number(&self, subject: &Document, field: &str) -> Option<i64> {
        at(subject, self.result)?.as_document()?.get(field).and_then(whole)
    }
}

impl Counters {
    /// Counts, and changes nothing. The numbers are of one moment, and so are the changes known to be in them;
    /// [`Counters::store_recount`] stores the ones and forgets the others. Takes as long as it takes to walk over as many keys of an
    /// index as there is to count, four minutes at most.
    pub async fn count(&self, key: &CounterKey) -> Result<Recount, Error> {
        let begun = Instant::now();
        self.thin_out(key).await?;
        let recount = self.count_and_add_up(key, doc! { "$project": { "_id": 1 } }).await?;
        Ok(Recount { begun, ..recount })
    }

    /// Counts, and reads the changes that the count has in it: their ids, or what the server adds their `by` up to.
    pub(super) async fn count_and_add_up(&self, key: &CounterKey, read: Document) -> Result<Recount, Error> {
        let begun = Instant::now();
        loop {
            match self.count_at_a_moment(key, begun, &read).await {
                // The server may have the moment soon.
                Err(error) if is_no_moment(&error) && begun.elapsed() < self.connection.config().timeout => {
                    sleep(AGAIN).await;
                }
                recount => return recount,
            }
        }
    }

    async fn count_at_a_moment(&self, key: &CounterKey, begun: Instant, read: &Document) -> Result<Recount, Error> {
        let mut session = self.connection.moment().await?;
        let counted = self.counted(&mut session, key).await?;
        let waiting = self.intents(key.counter);
        let pipeline = [doc! { "$match": { key.counter.subject: key.subject } }, read.clone()];
        let changes = waiting.aggregate(pipeline).batch_size(AT_A_TIME.into()).with_type::<RawDocumentBuf>();
        let (mut intents, mut waiting) = (Vec::new(), 0);
        let read = async {
            let mut changes = changes.session(&mut session).await?;
            let mut changes = changes.stream(&mut session);
            while let Some(change) = changes.try_next().await? {
                intents.extend(change.get_object_id("_id"));
                waiting += change.get_i64("by").unwrap_or_default();
            }
            Ok(())
        };
        self.connection.bounded(read).await?;
        Ok(Recount { key: *key, begun, counted, intents, waiting })
    }

    /// The numbers of a subject as the session sees them. `None`: there is no such subject.
    async fn counted(&self, session: &mut ClientSession, key: &CounterKey) -> Result<Option<Counted>, Error> {
        let CounterKey { counter, subject } = *key;
        let documents = self.documents(counter);
        let mut shown = doc! { counter.title: 1, counter.result: 1 };
        if let Some(exact) = &counter.exact {
            shown.insert(exact.trace, 1);
        }
        // First, so that the moment is before what the count calls now.
        let before = documents.find_one(doc! { "_id": subject }).projection(shown).session(&mut *session);
        let Some(before) = self.connection.bounded(before).await? else { return Ok(None) };
        let corrupt = |cause: String| Error::Corrupt { what: "count", id: subject.to_hex(), cause: cause.into() };
        let before = Document::try_from(before).map_err(|cause| corrupt(cause.to_string()))?;

        let begun = Instant::now();
        let count = documents.aggregate((counter.recount)(doc! { "_id": subject })).max_time(COUNTING);
        let counted = async {
            let mut found = count.session(&mut *session).await?;
            found.next(session).await.transpose()
        };
        let counted = tokio::time::timeout(COUNTING, counted).await.map_err(|_| Error::timed_out(COUNTING))??;
        let Some(counted) = counted else { return Ok(None) };
        let numbers = counter.numbers(&counted).ok_or_else(|| corrupt("it is not made of numbers".to_owned()))?;
        let computed_at = *counted.get_datetime("computedAt").map_err(|cause| corrupt(cause.to_string()))?;
        Ok(Some(Counted { numbers, computed_at, took: begun.elapsed(), before }))
    }

    /// Stores a recount, and forgets the intents that are in it. A change that arrived since the count leaves its intent, and with
    /// it the next recount. If somebody else has stored a count since, theirs stays, and whatever is not in it still has its
    /// intent.
    pub async fn store_recount(&self, settle: &mut Settle<'_>, recount: &Recount, pace: &Pace) -> Result<(), Error> {
        self.join_recount(&mut **settle.session().await, recount, pace).await.map(|_| ())
    }

    /// Joins the numbers into the subject's document, with the time before which there is no use in counting again, and forgets
    /// the changes that are in them. `false`: somebody else has counted since, and nothing was written.
    pub(super) async fn join_recount(
        &self,
        session: &mut ClientSession,
        recount: &Recount,
        pace: &Pace,
    ) -> Result<bool, Error> {
        let counter = recount.key.counter;
        if let Some(counted) = &recount.counted {
            let joined = counted.joined(counter, recount.begun.elapsed(), pace);
            let subject = counted.still_so(&recount.key);
            let update = vec![doc! { "$set": { counter.result: joined } }];
            if self.documents(counter).update_one(subject, update).session(&mut *session).await?.matched_count == 0 {
                return Ok(false);
            }
        }
        for intents in recount.intents.chunks(AT_A_TIME.into()) {
            let counted = doc! { "_id": { "$in": intents } };
            self.intents(counter).delete_many(counted).session(&mut *session).await?;
        }
        Ok(true)
    }
}

impl Counted {
    /// The subject, if nobody has counted it since. What changed an exact number since is allowed for, but where that number
    /// was not stored.
    fn still_so(&self, key: &CounterKey) -> Document {
        let CounterKey { counter, subject } = *key;
        let mut unchanged = vec![format!("{}.computedAt", counter.result), format!("{}.version", counter.result)];
        if let Some(exact) = &counter.exact
            && counter.stored_number(&self.before, exact.field).is_none()
        {
            unchanged.push(exact.trace.to_owned());
        }
        let mut filter = doc! { "_id": subject };
        for path in unchanged {
            let value = at(&self.before, &path).cloned();
            filter.insert(path, value.unwrap_or_else(|| doc! { "$exists": false }.into()));
        }
        filter
    }

    fn joined(&self, counter: &Counter, cost: Duration, pace: &Pace) -> Document {
        let is_quick = self.took * pace.times_cost <= pace.pause;
        let pause = if is_quick { pace.pause } else { pace.pause.max(cost * pace.times_cost) };
        let version = counter.stored_number(&self.before, "version").unwrap_or_default();
        let mut joined = doc! {
            counter.number: self.numbers.number,
            "computedAt": self.computed_at,
            "version": version.wrapping_add(1),
            "costMs": milliseconds(cost),
            "nextAt": after(pause),
        };
        if let (Some(exact), Some(counted)) = (&counter.exact, self.numbers.exact) {
            let number: Bson = match counter.stored_number(&self.before, exact.field) {
                // What has changed since the count is in the number that is stored, and not in the count.
                Some(stored) => {
                    doc! { "$add": [format!("${}.{}", counter.result, exact.field), counted - stored] }.into()
                }
                None => counted.into(),
            };
            joined.insert(exact.field, number);
        }
        joined
    }
}

/// The server has no such moment: a collection or an index was made just now, or counting took longer than it remembers.
fn is_no_moment(error: &Error) -> bool {
    const SNAPSHOT_TOO_OLD: i32 = 239;
    const SNAPSHOT_UNAVAILABLE: i32 = 246;
    let cause = match error {
        Error::Database(cause) => Some(cause),
        Error::Unavailable(cause) => cause.downcast_ref::<mongodb::error::Error>(),
        _ => None,
    };
    let Some(ErrorKind::Command(command)) = cause.map(|cause| cause.kind.as_ref()) else { return false };
    [SNAPSHOT_TOO_OLD, SNAPSHOT_UNAVAILABLE].contains(&command.code)
}
