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
use crate::codec::milliseconds;
use crate::jobs::Settle;

/// How long counting may take. The server keeps a moment for five minutes, unless it is told otherwise.
const COUNTING: Duration = Duration::from_secs(240);
/// Before the server is asked again for a moment that it does not have.
const AGAIN: Duration = Duration::from_millis(20);

/// A count that is not stored yet.
#[derive(Debug, Clone)]
pub struct Recount {
    key: CounterKey,
    begun: Instant,
    /// Nothing when there is no such subject.
    counted: Option<Counted>,
    /// The changes that the count has in it: all that waited at its moment.
    intents: Vec<ObjectId>,
}

/// What was counted, and what was stored.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub numbers: Numbers,
    /// An instant after the moment that they are of.
    computed_at: DateTime,
    took: Duration,
    pub before: Before,
}

/// The numbers of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// The number that intents change.
    pub number: i64,
    /// The number that every change writes at once, if the counter has one.
    pub exact: Option<i64>,
}

/// What the subject's document held at the moment of the count.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    pub title: String,
    computed_at: Option<Bson>,
    version: Option<Bson>,
    number: Option<i64>,
    exact: Option<i64>,
    trace: Option<Bson>,
}

fn whole(number: &Bson) -> Option<i64> {
    number.as_i64().or_else(|| number.as_i32().map(i64::from))
}

/// The value at a path such as `steep.aggregates`.
fn at<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    match path.split_once('.') {
        Some((field, rest)) => at(document.get_document(field).ok()?, rest),
        None => document.get(path),
    }
}

impl Before {
    fn read(counter: &Counter, document: &Document) -> Self {
        let result = at(document, counter.result).and_then(Bson::as_document);
        let value = |field: &str| result.and_then(|result| result.get(field));
        let exact = counter.exact.as_ref();
        Self {
            title: document.get_str(counter.title).unwrap_or_default().to_owned(),
            computed_at: value("computedAt").cloned(),
            version: value("version").cloned(),
            number: value(counter.number).and_then(whole),
            exact: exact.and_then(|exact| value(exact.field)).and_then(whole),
            trace: exact.and_then(|exact| at(document, exact.trace)).cloned(),
        }
    }

    /// The numbers that were stored; none of a subject that nobody had counted.
    pub(super) fn numbers(&self, counter: &Counter) -> Option<Numbers> {
        let is_counted = matches!(self.computed_at, Some(Bson::DateTime(_)));
        let is_whole = counter.exact.is_none() || self.exact.is_some();
        let number = self.number.filter(|_| is_counted && is_whole)?;
        Some(Numbers { number, exact: self.exact })
    }

    /// The subject, if nobody has counted it since. What changed an exact number since is allowed for, but where that number
    /// was not stored.
    fn still_so(&self, key: &CounterKey) -> Document {
        let counter = key.counter;
        let same = |value: &Option<Bson>| value.clone().unwrap_or_else(|| doc! { "$exists": false }.into());
        let mut filter = doc! {
            "_id": key.subject,
            format!("{}.computedAt", counter.result): same(&self.computed_at),
            format!("{}.version", counter.result): same(&self.version),
        };
        if let Some(exact) = &counter.exact
            && self.exact.is_none()
        {
            filter.insert(exact.trace, same(&self.trace));
        }
        filter
    }
}

impl Counters {
    /// Counts, and changes nothing. The numbers are of one moment, and so are the changes known to be in them;
    /// [`Counters::store_recount`] stores the ones and forgets the others. Takes as long as it takes to walk over as many keys of an
    /// index as there is to count, four minutes at most.
    pub async fn count(&self, key: &CounterKey) -> Result<Recount, Error> {
        let begun = Instant::now();
        self.thin_out(key).await?;
        loop {
            match self.count_at_a_moment(key, begun).await {
                Err(error) if self.asks_again(&error, begun) => sleep(AGAIN).await,
                recount => return recount,
            }
        }
    }

    async fn count_at_a_moment(&self, key: &CounterKey, begun: Instant) -> Result<Recount, Error> {
        let mut session = self.connection.moment().await?;
        let counted = self.counted(&mut session, key).await?;
        let waiting = self.intents(key.counter);
        let intents = waiting.find(doc! { key.counter.subject: key.subject });
        let intents = intents.projection(doc! { "_id": 1 });
        let intents: Vec<RawDocumentBuf> = self
            .connection
            .bounded(async { intents.session(&mut session).await?.stream(&mut session).try_collect().await })
            .await?;
        let intents = intents.iter().filter_map(|intent| intent.get_object_id("_id").ok()).collect();
        Ok(Recount { key: *key, begun, counted, intents })
    }

    /// The numbers of a subject, counted and stored, and what its intents add up to: all of one moment.
    pub(super) async fn compared(&self, key: &CounterKey) -> Result<Option<(Counted, i64)>, Error> {
        let begun = Instant::now();
        loop {
            match self.compared_at_a_moment(key).await {
                Err(error) if self.asks_again(&error, begun) => sleep(AGAIN).await,
                compared => return compared,
            }
        }
    }

    async fn compared_at_a_moment(&self, key: &CounterKey) -> Result<Option<(Counted, i64)>, Error> {
        let mut session = self.connection.moment().await?;
        let Some(counted) = self.counted(&mut session, key).await? else { return Ok(None) };
        let waiting = self.waiting(&mut session, key).await?;
        Ok(Some((counted, waiting)))
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
        let before = Before::read(counter, &before);

        let begun = Instant::now();
        let count = documents.aggregate((counter.recount)(doc! { "_id": subject })).max_time(COUNTING);
        let counted = async {
            let mut found = count.session(&mut *session).await?;
            found.next(session).await.transpose()
        };
        let counted = tokio::time::timeout(COUNTING, counted).await.map_err(|_| Error::timed_out(COUNTING))??;
        let Some(counted) = counted else { return Ok(None) };
        let number =
            |field: &str| counted.get(field).and_then(whole).ok_or_else(|| corrupt(format!("{field} is not a number")));
        let numbers = Numbers {
            number: number(counter.number)?,
            exact: counter.exact.as_ref().map(|exact| number(exact.field)).transpose()?,
        };
        let computed_at = counted.get_datetime("computedAt").map_err(|cause| corrupt(cause.to_string()))?;
        Ok(Some(Counted { numbers, computed_at: *computed_at, took: begun.elapsed(), before }))
    }

    /// Stores a recount, and forgets the intents that are in it. A change that arrived since the count leaves its intent, and with
    /// it the next recount. If somebody else has stored a count since, theirs stays, and whatever is not in it still has its
    /// intent.
    pub async fn store_recount(&self, settle: &mut Settle<'_>, recount: &Recount, pace: &Pace) -> Result<(), Error> {
        self.join_recount(settle.session(), recount, pace).await.map(|_| ())
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
            let subject = counted.before.still_so(&recount.key);
            let update = vec![doc! { "$set": { counter.result: joined } }];
            if self.documents(counter).update_one(subject, update).session(&mut *session).await?.matched_count == 0 {
                return Ok(false);
            }
        }
        if !recount.intents.is_empty() {
            let counted = doc! { "_id": { "$in": &recount.intents } };
            self.intents(counter).delete_many(counted).session(session).await?;
        }
        Ok(true)
    }

    /// Whether the server may have the moment soon that it does not have now.
    fn asks_again(&self, error: &Error, begun: Instant) -> bool {
        is_no_moment(error) && begun.elapsed() < self.connection.config().timeout
    }
}

impl Recount {
    pub(super) fn numbers(&self) -> Option<Numbers> {
        self.counted.as_ref().map(|counted| counted.numbers)
    }
}

impl Counted {
    fn joined(&self, counter: &Counter, cost: Duration, pace: &Pace) -> Document {
        let is_quick = self.took * pace.times_cost <= pace.pause;
        let pause = milliseconds(if is_quick { pace.pause } else { pace.pause.max(cost * pace.times_cost) });
        let version = self.before.version.as_ref().and_then(whole).unwrap_or_default();
        let mut joined = doc! {
            counter.number: self.numbers.number,
            "computedAt": self.computed_at,
            "version": version.wrapping_add(1),
            "costMs": milliseconds(cost),
            "nextAt": { "$add": ["$$NOW", pause] },
        };
        if let (Some(exact), Some(counted)) = (&counter.exact, self.numbers.exact) {
            let number: Bson = match self.before.exact {
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
