//! Counts that are stored. docs/counters.md explains them.
//!
//! A change that is counted also writes an *intent*, in the same transaction and without touching a document that others share.
//! Any number of intents of one count lead to one *recount*, a job: an aggregation, whose result is stored with the time it was
//! true, in the transaction that forgets the intents that are in it. An intent exists as long as no stored count has it in it,
//! so at every moment the stored count and the intents that wait add up to the truth.
//!
//! Adding a counter: a [`Counter`] beside what it counts, and a line in the table of `lib.rs`.

mod intents;
mod reconcile;
mod reconciliation;
mod recount;

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Document, doc};
use futures_util::TryStreamExt;
use messages::{Job, JobId, RecountCounter};

use crate::codec::{encode, object_ids};
use crate::connection::{Connection, Documents};
use crate::error::duplicate_key;
use crate::indexes::{Wanted, plain};
use crate::jobs::Jobs;
use crate::{Error, JobRecord};

pub use intents::Waiting;
pub use reconcile::{Checked, Drift};
pub use reconciliation::{LastDrift, Reconciliation};
pub use recount::{Numbers, Recount};

/// Counts that are looked up at once.
const BATCH: usize = 1000;

/// What is counted, of any number of subjects, and where the result is stored.
#[derive(Debug)]
pub struct Counter {
    /// Permanent: the keys of its recounts begin with it.
    pub(crate) name: &'static str,
    /// The collection in which its intents wait: `{ <subject>: id, by: 1 or -1 }`.
    pub(crate) intents: &'static str,
    /// The field of an intent that names the subject.
    pub(crate) subject: &'static str,
    /// The collection whose documents, one a subject, hold the result …
    pub(crate) documents: &'static str,
    /// … in this field.
    pub(crate) result: &'static str,
    /// The field that names a subject for people.
    pub(crate) title: &'static str,
    /// The number that intents change.
    pub(crate) number: &'static str,
    /// A second number of the result, if there is one.
    pub(crate) exact: Option<ExactNumber>,
    /// Counts the subjects that a filter selects: `_id`, the numbers, and `computedAt`.
    pub(crate) recount: fn(Document) -> Vec<Document>,
    /// The job that recounts a subject, if that is not [`RecountCounter`].
    pub(crate) job: Option<fn(&CounterKey) -> Job>,
}

/// A number that every change writes at once, without an intent. A recount corrects it by what it finds wrong.
#[derive(Debug)]
pub(crate) struct ExactNumber {
    pub field: &'static str,
    /// A field that every change of the number touches: where the number is not stored yet, a count of it is stored only if
    /// that is as it was.
    pub trace: &'static str,
}

/// One count: which counter, and of which subject.
#[derive(Debug, Clone, Copy)]
pub struct CounterKey {
    pub(crate) counter: &'static Counter,
    pub(crate) subject: ObjectId,
}

impl CounterKey {
    /// Its subject's id.
    pub fn subject(&self) -> [u8; 12] {
        self.subject.bytes()
    }

    /// The job that recounts it.
    fn job(&self) -> Job {
        match self.counter.job {
            Some(job) => job(self),
            None => Job::RecountCounter(RecountCounter { counter: self.to_string() }),
        }
    }
}

impl PartialEq for CounterKey {
    fn eq(&self, other: &Self) -> bool {
        self.counter.name == other.counter.name && self.subject == other.subject
    }
}

impl Eq for CounterKey {}

/// As it stands in jobs and in the log: `<counter>:<subject>`.
impl fmt::Display for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.counter.name, self.subject)
    }
}

/// How soon a subject may be counted again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// The least pause after a count.
    pub pause: Duration,
    /// The pause is this many times what the count took in all, if that is longer; so with 20 it costs at most a twentieth of a
    /// core. A count whose aggregation alone, this many times, fits into [`Pace::pause`] is quick, and pauses no longer.
    pub times_cost: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { pause: Duration::from_millis(1500), times_cost: 20 }
    }
}

/// Counts that are stored.
#[derive(Debug, Clone)]
pub struct Counters {
    connection: Connection,
    jobs: Jobs,
    all: &'static [&'static Counter],
}

impl Counters {
    pub(crate) fn new(jobs: &Jobs, all: &'static [&'static Counter]) -> Self {
        Self { connection: jobs.connection.clone(), jobs: jobs.clone(), all }
    }

    pub(crate) fn indexes(&self) -> Vec<Wanted> {
        self.all.iter().map(|counter| (self.intents(counter), plain(doc! { counter.subject: 1, "_id": 1 }))).collect()
    }

    fn intents(&self, counter: &Counter) -> Documents {
        self.connection.collection(counter.intents)
    }

    fn documents(&self, counter: &Counter) -> Documents {
        self.connection.collection(counter.documents)
    }

    /// The counter with a key, as [`CounterKey`] displays it. `None`: this version does not know it.
    pub fn key(&self, key: &str) -> Option<CounterKey> {
        let (name, subject) = key.split_once(':')?;
        let counter = self.all.iter().find(|counter| counter.name == name)?;
        Some(CounterKey { counter, subject: ObjectId::parse_str(subject).ok()? })
    }

    /// What has changed and is not counted yet, which nobody counts and whose pause is over.
    pub async fn due(&self) -> Result<Vec<CounterKey>, Error> {
        let mut due = Vec::new();
        for &counter in self.all {
            let mut changed = self.changed(counter).await?.try_chunks(BATCH).map_err(|error| error.1);
            while let Some(subjects) = self.connection.bounded(changed.try_next()).await? {
                due.extend(self.not_resting(counter, object_ids(&subjects).collect()).await?);
            }
        }
        Ok(due)
    }

    /// Those of a counter's subjects that nobody counts and whose pause is over.
    async fn not_resting(&self, counter: &'static Counter, subjects: Vec<ObjectId>) -> Result<Vec<CounterKey>, Error> {
        let pausing = doc! {
            "_id": { "$in": &subjects },
            "$expr": { "$gt": [format!("${}.nextAt", counter.result), "$$NOW"] },
        };
        let documents = self.documents(counter);
        let pausing = self.connection.collect(documents.find(pausing).projection(doc! { "_id": 1 })).await?;
        let pausing: HashSet<ObjectId> = object_ids(&pausing).collect();
        let awake = subjects.into_iter().filter(|subject| !pausing.contains(subject));
        let awake: Vec<CounterKey> = awake.map(|subject| CounterKey { counter, subject }).collect();
        let unique: Vec<String> = awake.iter().filter_map(|key| Jobs::unique_key(&key.job())).collect();
        let counting = self.jobs.unfinished_of(&unique).await?;
        let is_counted =
            |key: &CounterKey| Jobs::unique_key(&key.job()).is_some_and(|unique| counting.contains(&unique));
        Ok(awake.into_iter().filter(|key| !is_counted(key)).collect())
    }

    /// Submits the job that recounts. `None`: one waits or runs already.
    pub async fn request(&self, key: &CounterKey) -> Result<Option<JobRecord>, Error> {
        let now = self.connection.now().await?;
        let job = self.jobs.new_job(JobId::new(), &key.job(), None, None, None, now);
        match self.connection.bounded(self.jobs.documents.insert_one(encode(&job)?)).await {
            Ok(_) => Ok(Some(job)),
            Err(Error::Database(cause)) if duplicate_key(&cause).is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
